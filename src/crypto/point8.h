/* point8.h: points of edwards25519, eight at once (lanes8.h, field8.h).
 *
 * -x^2 + y^2 = 1 + d x^2 y^2, with the formulas of Hisil, Wong, Carter and Dawson ("Twisted Edwards
 * curves revisited", 2008) for extended coordinates x = X/Z, y = Y/Z, T = XY/Z. As -1 is a square
 * and d is not, they hold for all points of the curve: the neutral one, those of small order, equal
 * ones, opposite ones. What they give for numbers that are no point is a number as well; nothing
 * breaks, and who uses it must not care.
 *
 * Every sum comes out as four numbers of which the coordinates are products. Which products are
 * needed depends on what follows, so it is the operation that follows that makes them. */
#ifndef WM_CRYPTO_POINT8_H
#define WM_CRYPTO_POINT8_H

#include "crypto/field8.h"

/* X = ef, Y = gh, Z = fg, T = eh. */
struct point8 {
    struct field8 e, f, g, h;
};

/* What is added: of a point with Z = 1, and of any. The field t2d is 2dT. */
struct point8_affine {
    struct field8 y_plus_x, y_minus_x, t2d;
};

struct point8_addend {
    struct field8 y_plus_x, y_minus_x, t2d, z;
};

LANES8 struct point8 point8_neutral(void)
{
    return (struct point8){field8_small(0), field8_small(1), field8_small(1), field8_small(1)};
}

LANES8 struct point8 point8_double(struct point8 p)
{
    struct field8_wide wide_x = field8_mul_wide(p.e, p.f), wide_y = field8_mul_wide(p.g, p.h);
    struct field8 x = field8_carry(wide_x), y = field8_carry(wide_y);
    struct field8 x_plus_y = field8_carry(field8_wide_add(wide_x, wide_y)); /* 2W */
    struct field8 z = field8_mul(p.f, p.g);

    struct field8_wide xx = field8_sqr_wide(x), yy = field8_sqr_wide(y), zz = field8_sqr_wide(z);
    struct field8_wide sum = field8_wide_add(xx, yy); /* 2W */
    /* f is the widest: three products and the bias, 5W. */
    return (struct point8){
        .e = field8_carry(field8_wide_sub(field8_sqr_wide(x_plus_y), sum)),
        .f = field8_carry(field8_wide_sub(field8_wide_add(field8_wide_add(zz, zz), xx), yy)),
        .g = field8_carry(field8_wide_sub(yy, xx)),
        .h = field8_carry(sum),
    };
}

/* The sum, where zz2 is 2 Z1 Z2, up to 2W, and tt2d is T1 * 2d T2, up to W: up to 4W with a bias.
 */
LANES8 struct point8 point8_add_wide(struct field8 y1_plus_x1, struct field8 y1_minus_x1,
                                     struct field8 y2_plus_x2, struct field8 y2_minus_x2,
                                     struct field8_wide zz2, struct field8_wide tt2d)
{
    struct field8_wide minus = field8_mul_wide(y1_minus_x1, y2_minus_x2);
    struct field8_wide plus = field8_mul_wide(y1_plus_x1, y2_plus_x2);
    return (struct point8){
        .e = field8_carry(field8_wide_sub(plus, minus)),
        .f = field8_carry(field8_wide_sub(zz2, tt2d)),
        .g = field8_carry(field8_wide_add(zz2, tt2d)),
        .h = field8_carry(field8_wide_add(plus, minus)),
    };
}

/* For an addition: Y + X, Y - X, T and Z. */
struct point8_coordinates {
    struct field8 y_plus_x, y_minus_x, t, z;
};

LANES8 struct point8_coordinates point8_coordinates(struct point8 p)
{
    struct field8_wide x = field8_mul_wide(p.e, p.f), y = field8_mul_wide(p.g, p.h);
    return (struct point8_coordinates){
        .y_plus_x = field8_carry(field8_wide_add(y, x)),
        .y_minus_x = field8_carry(field8_wide_sub(y, x)),
        .t = field8_mul(p.e, p.h),
        .z = field8_mul(p.f, p.g),
    };
}

LANES8 struct point8 point8_add_affine(struct point8_coordinates p, struct point8_affine q)
{
    struct field8_wide z = field8_widen(p.z);
    return point8_add_wide(p.y_plus_x, p.y_minus_x, q.y_plus_x, q.y_minus_x, field8_wide_add(z, z),
                           field8_mul_wide(p.t, q.t2d));
}

LANES8 struct point8 point8_add(struct point8_coordinates p, struct point8_addend q)
{
    struct field8_wide zz = field8_mul_wide(p.z, q.z);
    return point8_add_wide(p.y_plus_x, p.y_minus_x, q.y_plus_x, q.y_minus_x,
                           field8_wide_add(zz, zz), field8_mul_wide(p.t, q.t2d));
}

#endif
