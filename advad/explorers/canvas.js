// An image to paint on. The page covers pixels at once; Python hears which ones are covered, and answers.
const WIDTH = 600; // of the drawing; the page shows it at half of that, sharp on a dense screen
const KEYS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const ORANGE = "#E69F00", BLUE = "#56B4E9", BLACK = "#222222";

function render({ model, el }) {
  const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
  const where = document.createElement("div"), image = new Image();
  const [rows, columns] = model.get("shape"), cell = WIDTH / columns;
  let brush = null; // [row, column] under the pointer, or where the keys have moved it
  let last = null; // where a stroke has come to
  canvas.width = WIDTH;
  canvas.height = Math.round(cell * rows);
  canvas.style.cssText = `width:${WIDTH / 2}px;max-width:100%;touch-action:none;cursor:crosshair;outline-offset:2px`;
  canvas.tabIndex = 0;
  canvas.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes the arrow keys for its own commands
  canvas.setAttribute("role", "application");
  where.setAttribute("role", "status");
  where.style.cssText = "font-size:13px;line-height:1.5;min-height:1.5em";
  el.append(canvas, where);

  function under([row, column]) {
    // A square of the brush's side around a pixel, as far as it lies in the image.
    const side = model.get("side"), before = Math.floor((side - 1) / 2), pixels = [];
    for (let r = row - before; r < row - before + side; r++)
      for (let c = column - before; c < column - before + side; c++)
        if (r >= 0 && r < rows && c >= 0 && c < columns) pixels.push(r * columns + c);
    return pixels;
  }

  function outline(pixels, colour, width) {
    const inside = new Set(pixels);
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    for (const pixel of inside) {
      const c = pixel % columns, r = (pixel - c) / columns, x = c * cell, y = r * cell;
      const edges = [
        [r > 0 && inside.has(pixel - columns), x, y, x + cell, y],
        [r < rows - 1 && inside.has(pixel + columns), x, y + cell, x + cell, y + cell],
        [c > 0 && inside.has(pixel - 1), x, y, x, y + cell],
        [c < columns - 1 && inside.has(pixel + 1), x + cell, y, x + cell, y + cell],
      ];
      for (const [joined, x0, y0, x1, y1] of edges) {
        if (joined) continue;
        pen.moveTo(x0, y0);
        pen.lineTo(x1, y1);
      }
    }
    pen.stroke();
  }

  function draw() {
    const covered = model.get("covered");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    pen.fillStyle = model.get("fill");
    for (const pixel of covered)
      pen.fillRect((pixel % columns) * cell, Math.floor(pixel / columns) * cell, cell + 0.5, cell + 0.5);
    outline(covered, BLACK, 9);
    outline(covered, ORANGE, 5);
    if (brush) {
      outline(under(brush), BLACK, 7);
      outline(under(brush), BLUE, 3);
    }
    where.textContent = brush ? `Brush at row ${brush[0]}, column ${brush[1]}` : "Click or drag. By keyboard: arrows, Space";
    canvas.setAttribute("aria-label", model.get("label"));
  }

  function paint(to) {
    // From where the stroke has come to, pixel by pixel, so that a quick hand leaves no holes.
    const [row, column] = last ?? to, [down, across] = [to[0] - row, to[1] - column];
    const steps = Math.max(Math.abs(down), Math.abs(across), 1), covered = new Set(model.get("covered"));
    for (let k = 0; k <= steps; k++) {
      const at = [Math.round(row + (down * k) / steps), Math.round(column + (across * k) / steps)];
      for (const pixel of under(at)) model.get("erasing") ? covered.delete(pixel) : covered.add(pixel);
    }
    last = to;
    model.set("covered", [...covered].sort((a, b) => a - b));
    model.save_changes();
  }

  const inside = (place, length) => Math.min(Math.max(Math.floor(place * length), 0), length - 1);
  function at(event) {
    const box = canvas.getBoundingClientRect();
    return [
      inside((event.clientY - box.top) / box.height, rows),
      inside((event.clientX - box.left) / box.width, columns),
    ];
  }
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button != 0) return;
    canvas.setPointerCapture(event.pointerId);
    last = null;
    paint((brush = at(event)));
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    brush = at(event);
    if (last && event.buttons & 1) paint(brush);
    draw();
  });
  canvas.addEventListener("pointerup", () => (last = null));
  canvas.addEventListener("pointerleave", () => {
    brush = null;
    draw();
  });
  canvas.addEventListener("keydown", (event) => {
    const step = KEYS[event.key], paints = event.key == " " || event.key == "Enter";
    if (!step && !paints) return;
    event.preventDefault();
    event.stopPropagation();
    brush ??= [rows >> 1, columns >> 1];
    last = null;
    if (step) brush = [(brush[0] + step[0] + rows) % rows, (brush[1] + step[1] + columns) % columns];
    if (paints || event.shiftKey) paint(brush);
    last = null;
    draw();
  });

  const load = () => (image.src = model.get("source"));
  image.onload = draw;
  model.on("change:source", load);
  model.on("change:covered change:fill change:side change:label", draw);
  load();
  return () => {
    model.off("change:source", load);
    model.off("change:covered change:fill change:side change:label", draw);
  };
}

export default { render };
