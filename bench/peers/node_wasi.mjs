// node_wasi.mjs FILE.wasm [ARG...]: runs a WASI program in Node, as a peer. Prints the program's own
// output only. The current folder is /, so that programs that read files find them.
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const [, , file, ...args] = process.argv;
const preopens = process.env.BENCH_DIR ? { "/": process.env.BENCH_DIR } : {};
const wasi = new WASI({ version: "preview1", args: [file, ...args], env: {}, preopens });
const module = await WebAssembly.compile(await readFile(file));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
process.exitCode = wasi.start(instance);
