"""How fluid 10,000 points are in a real browser. `pytest tests/benchmarks/map.py -s` (a bench: not collected alone).

Printed are the times between the frames of a page while the map is dragged about, and while the pointer wanders over
its points, each hover answered by the kernel; and from a move of the pointer to the image that it brings.
Headless Chromium draws WebGL on the processor (SwiftShader) here, and shares it with the kernel. What a laptop with
any graphics would still have to do in a frame is what the page's own thread does, which is printed beside.
"""

import numpy as np

EXPLORER = """
digits, rng = advad.load("digits"), np.random.default_rng(0)
which = rng.integers(0, len(digits.images), 10_000)
noise = rng.integers(0, 40, (10_000, 1, 8, 8), dtype=np.uint8)
images = np.clip(digits.images.numpy()[which] // 2 + noise, 0, 255).astype(np.uint8)
explorer = explorers.LatentExplorer(detector, images, labels=digits.labels[which], classes=digits.classes)
explorer
"""
COUNT = """() => {
  window.frames_at = [];
  const tick = now => { frames_at.push(now); if (window.counting) requestAnimationFrame(tick) };
  window.counting = true;
  requestAnimationFrame(tick)}"""
COUNTED = "() => { window.counting = false; return window.frames_at }"

UNDER = """() => document.querySelector('.advad-explorer img[alt^="Under the pointer"]')?.alt"""


def say(what, milliseconds):
    middle, slow, worst = np.quantile(milliseconds, [0.5, 0.95, 1])
    print(f"    {what:44} median {middle:4.0f} ms, 95 of 100 within {slow:4.0f} ms, worst {worst:4.0f} ms")


def frames_while(page, move):
    page.evaluate(COUNT)
    move()
    return np.diff(page.evaluate(COUNTED))


def busy(session):
    """Return the seconds that the page's main thread has spent so far: in scripts, and in all; not drawing WebGL."""
    found = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return np.array([found["ScriptDuration"], found["TaskDuration"]])


def test_print_how_long_frames_and_answers_take(explorer):
    hands, here = explorer
    page, points = hands.page, here.map.points
    hands.sees(here.summary())
    (x0, x1), (y0, y1) = here.limits
    middle = hands.at((x0 + x1) / 2, (y0 + y1) / 2)
    hands.rest()
    print(f"\n{len(points):,} points, {here.figure.points.type}")

    def wander():
        for angle in np.linspace(0, 6 * np.pi, 120):
            page.mouse.move(middle[0] + 120 * np.cos(angle), middle[1] + 90 * np.sin(1.3 * angle))
            page.wait_for_timeout(12)

    say("between frames, the pointer over the points", frames_while(page, wander))
    hands.rest()
    waits = []
    for index in np.random.default_rng(1).choice(len(points), 20, replace=False):
        place, before = hands.at(*points[index]), page.evaluate(UNDER)
        begin = page.evaluate("performance.now()")
        page.mouse.move(*place)
        page.wait_for_function(f"before => ({UNDER})() != before", arg=before)
        waits.append(page.evaluate("performance.now()") - begin)
    say("from the pointer's move to the image", waits)
    hands.root.locator('[data-title="Pan"]').first.click()

    def drag():
        page.mouse.move(*middle)
        page.mouse.down()
        wander()
        page.mouse.up()

    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")  # its clocks begin here
    before = busy(session)
    frames = frames_while(page, drag)
    say("between frames, the map dragged", frames)
    script, tasks = (1000 * (busy(session) - before) / len(frames)).tolist()
    print(f"    of a frame, the page's own thread is busy for {tasks:.0f} ms, {script:.0f} of them in scripts")
