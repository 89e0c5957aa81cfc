"""orbit: a loop over numbers: planets around a sun, by steps of a day.

    wardmote fn put examples/functions/orbit.py
    wardmote fn call orbit 365
"""
import math

# x, y, speed x, speed y, mass: AU, AU a year, suns
BODIES = (
    ("sun", 0.0, 0.0, 0.0, 0.0, 1.0),
    ("earth", 1.0, 0.0, 0.0, 2 * math.pi, 3.0e-6),
    ("jupiter", -5.2, 0.0, 0.0, -2 * math.pi / math.sqrt(5.2), 9.5e-4),
)
G = 4 * math.pi**2


def step(bodies, dt):
    for a in bodies:
        for b in bodies:
            if a is not b:
                dx, dy = b[1] - a[1], b[2] - a[2]
                pull = G * b[5] / math.hypot(dx, dy) ** 3 * dt
                a[3] += dx * pull
                a[4] += dy * pull
    for a in bodies:
        a[1] += a[3] * dt
        a[2] += a[4] * dt


def handle(data):
    days = int(data or b"365")
    bodies = [list(body) for body in BODIES]
    for _ in range(days):
        step(bodies, 1 / 365.25)
    return "".join(f"{name:8} {x:9.4f} {y:9.4f}\n" for name, x, y, *_ in bodies)
