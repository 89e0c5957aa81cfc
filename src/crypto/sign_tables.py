#!/usr/bin/env python3
"""sign_tables: writes sign_tables.h, the constants of the eightfold Ed25519 and SHA-512, from their definitions
(RFC 8032 section 5.1, FIPS 180-4 section 4.2.3), so that no table of theirs has to be believed."""
import math

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
BASE_MULTIPLES = 128  # digits of eight bits, signed


def add(p, q):
    (x1, y1), (x2, y2) = p, q
    k = D * x1 * x2 * y1 * y2
    return ((x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P)


def sqrt(a):
    """The even square root of a, or None."""
    x = pow(a, (P + 3) // 8, P)
    if (x * x - a) % P:
        x = x * SQRT_M1 % P
    if (x * x - a) % P:
        return None
    return x if x % 2 == 0 else P - x


def base():
    y = 4 * pow(5, -1, P) % P
    return sqrt((y * y - 1) * pow(D * y * y + 1, -1, P)), y


def small_order_y():
    """y of the points whose order divides 8. Those of order 8 double to one with y = 0: x^2 = -y^2 there, so
    d y^4 + 2 y^2 - 1 = 0."""
    root = sqrt(1 + D)
    ys = {0, 1, P - 1}
    for sign in (1, -1):
        y = sqrt((sign * root - 1) * pow(D, -1, P) % P)
        if y is not None:
            ys |= {y, P - y}
    return sorted(ys)


def root_bits(degree, n):
    """The first 64 bits of the fraction of n's square or cubic root."""
    n <<= 64 * degree
    low, high = 0, 1 << (n.bit_length() // degree + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= n else (low, middle)
    return low % 2**64


def limbs(a):
    return [a >> 51 * i & (2**51 - 1) for i in range(5)]


def words(a):
    return [a >> 64 * i & (2**64 - 1) for i in range(4)]


def put(name, dimensions, rows):
    print(f"static const uint64_t {name}{dimensions} WM_ALIGNED(64) = {{")
    for row in rows:
        inner = ", ".join(f"0x{word:016x}" for word in row)
        print(f"    {{{inner}}}," if len(rows) > 1 else f"    {inner},")
    print("};")


def main():
    print("/* Written by sign_tables.py. */")
    print("#ifndef WM_CRYPTO_SIGN_TABLES_H")
    print("#define WM_CRYPTO_SIGN_TABLES_H")
    print("#include <stdint.h>\n")
    print('#include "base/compiler.h"\n')
    put("curve_d", "[5]", [limbs(D)])
    put("curve_2d", "[5]", [limbs(2 * D % P)])
    put("curve_sqrt_m1", "[5]", [limbs(SQRT_M1)])
    put("curve_order", "[4]", [words(L)])
    ys = small_order_y()
    assert len(ys) == 5
    put("curve_small_order_y", "[5][4]", [words(y) for y in ys])
    rows, point = [], (0, 1)
    for _ in range(BASE_MULTIPLES + 1):
        x, y = point
        rows.append(limbs((y + x) % P) + limbs((y - x) % P) + limbs(2 * D * x * y % P) + [0])
        point = add(point, base())
    put("curve_base", f"[{BASE_MULTIPLES + 1}][16]", rows)
    primes = [n for n in range(2, 410) if all(n % k for k in range(2, math.isqrt(n) + 1))]
    put("sha512_initial", "[8]", [[root_bits(2, n) for n in primes[:8]]])
    put("sha512_round", "[80]", [[root_bits(3, n) for n in primes[:80]]])
    print("#endif")


main()
