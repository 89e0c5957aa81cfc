// cose_receipt.mjs VECTORS: statements of a ledger's replicas are COSE Receipts (RFC 9942), which a COSE library
// checks that knows nothing of Wardmote: @auth0/cose. TAP; run by cose_receipt.sh, where that library is.
import { createHash, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

// Beside the library, not beside this file.
const { Sign1 } = createRequire(process.cwd() + '/')('@auth0/cose');
const { Decoder } = createRequire(process.cwd() + '/')('cbor-x');
const VDS = 395, VDP = 396, RFC9162_SHA256 = 1, INCLUSION = -1;

const sha256 = (...parts) => createHash('sha256').update(Buffer.concat(parts)).digest();
const bytes = (hex) => Buffer.from(hex, 'hex');
const decoder = new Decoder({ mapsAsObjects: false });

function publicKey(raw) {
  // RFC 8410: the fixed beginning of an Ed25519 public key in DER.
  return createPublicKey({ key: Buffer.concat([bytes('302a300506032b6570032100'), raw]), format: 'der', type: 'spki' });
}

// RFC 9162, section 2.1.3.2.
function rootOf(leaf, index, size, path) {
  let fn = index, sn = size - 1, hash = sha256(Buffer.from([0]), leaf);
  for (const other of path) {
    if (sn === 0) throw new Error('the path is too long');
    if (fn % 2 === 1 || fn === sn) {
      hash = sha256(Buffer.from([1]), other, hash);
      while (fn % 2 === 0 && fn !== 0) { fn >>= 1; sn >>= 1; }
    } else {
      hash = sha256(Buffer.from([1]), hash, other);
    }
    fn >>= 1;
    sn >>= 1;
  }
  if (sn !== 0) throw new Error('the path is too short');
  return hash;
}

async function isSigned(receipt, payload, key) {
  try {
    await Sign1.decode(receipt).verify(publicKey(key), { detachedPayload: payload });
    return true;
  } catch {
    return false;
  }
}

const { cose } = JSON.parse(readFileSync(process.argv[2]));
let count = 0, failed = 0;
function check(ok, name) {
  count++;
  failed += ok ? 0 : 1;
  console.log(`${ok ? 'ok' : 'not ok'} ${count} - ${name}`);
}

for (const { name, key, leaf, root, receipt } of cose) {
  const sign1 = Sign1.decode(bytes(receipt));
  const header = decoder.decode(sign1.encodedProtectedHeaders);
  const [proof] = sign1.unprotectedHeaders.get(VDP).get(INCLUSION);
  const [size, index, path] = decoder.decode(proof);
  const payload = rootOf(bytes(leaf), index, size, path);
  check(header.get(VDS) === RFC9162_SHA256 && sign1.payload === null, `${name}: a receipt over a tree of RFC 9162, detached`);
  check(payload.equals(bytes(root)), `${name}: the leaf leads to the root`);
  check(await isSigned(bytes(receipt), payload, bytes(key)), `${name}: the signature is the replica's`);
  const other = Buffer.from(payload);
  other[31] ^= 1;
  check(!await isSigned(bytes(receipt), other, bytes(key)), `${name}: not over another root`);
  const stranger = cose.find((one) => one.key !== key).key;
  check(!await isSigned(bytes(receipt), payload, bytes(stranger)), `${name}: not another replica's`);
}
console.log(`1..${count}`);
process.exit(failed === 0 && count > 0 ? 0 : 1);
