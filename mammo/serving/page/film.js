// The film in a canvas: its own grey levels in a window, the map and the marks over it, moved and enlarged.

const HOT = [[0x4a, 0x14, 0x86], [0xd5, 0x5e, 0x00], [0xff, 0xd2, 0x1f]]; // as in the pictures of mammo explain
const LEAST = 256; // side of the smallest picture of a pyramid
const MARK = "#56b4e9";
export const MARKS_SHOWN = 5;

export function hot(share) {
  const at = Math.min(share * 2, 1.9999);
  const [one, two] = [HOT[Math.floor(at)], HOT[Math.floor(at) + 1]];
  return one.map((value, n) => Math.round(value + (two[n] - value) * (at % 1)));
}

// Halved again and again by the mean of four pixels, so that a film that is made smaller keeps its look.
function pyramid(film) {
  const levels = [film];
  while (Math.min(levels.at(-1).width, levels.at(-1).height) >= 2 * LEAST) {
    const { data, width, height } = levels.at(-1);
    const w = width >> 1, h = height >> 1;
    const half = new data.constructor(w * h);
    for (let y = 0, to = 0; y < h; y++) {
      for (let x = 0, from = 2 * y * width; x < w; x++, from += 2) {
        half[to++] = (data[from] + data[from + 1] + data[from + width] + data[from + width + 1] + 2) >> 2;
      }
    }
    levels.push({ data: half, width: w, height: h });
  }
  return levels;
}

function picture(map) {
  const canvas = document.createElement("canvas");
  canvas.width = map.columns;
  canvas.height = map.rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(map.columns, map.rows);
  map.shares.forEach((share, n) => image.data.set([...hot(share / 255), share], 4 * n));
  context.putImageData(image, 0, 0);
  return canvas;
}

export class Viewer {
  constructor(canvas, changed) {
    Object.assign(this, { canvas, changed, film: null, map: null, marks: [], point: null, picking: null });
    Object.assign(this, { opacity: 0.6, showMarks: true, centre: 0.5, width: 1, pointers: new Map() });
    new ResizeObserver(() => this.resize()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  show(film) {
    this.film = film;
    this.levels = film ? pyramid(film) : [];
    this.map = null;
    this.marks = [];
    this.point = null;
    this.reset();
    this.fit();
  }

  setMap(map) {
    this.map = map && { ...map, picture: map.empty ? null : picture(map) };
    this.draw();
  }

  reset() {
    this.centre = 0.5;
    this.width = 1;
    this.draw();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio), height = Math.round(this.canvas.clientHeight * ratio);
    if (!width || !height || (width === this.canvas.width && height === this.canvas.height)) return;
    const fitted = this.film && Math.abs(this.scale - this.whole(this.canvas)) < 1e-6;
    this.canvas.width = width;
    this.canvas.height = height;
    if (fitted || !this.scale) this.fit();
    this.paint(); // at once: a new size has emptied the canvas
  }

  whole(canvas) {
    return Math.min(canvas.width / this.film.width, canvas.height / this.film.height);
  }

  fit() {
    if (!this.film) return this.draw();
    this.scale = this.whole(this.canvas);
    this.x = this.film.width / 2;
    this.y = this.film.height / 2;
    this.draw();
  }

  // Enlarge by a factor, so that the place under the pointer (in pixels of the canvas) stays where it is.
  zoom(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    if (!this.film) return;
    const before = this.toFilm(x, y);
    const ratio = window.devicePixelRatio || 1;
    this.scale = Math.min(Math.max(this.scale * factor, this.whole(this.canvas) / 2), 16 * ratio);
    const after = this.toFilm(x, y);
    this.shift(before[0] - after[0], before[1] - after[1]);
  }

  shift(x, y) {
    this.x = Math.min(Math.max(this.x + x, 0), this.film.width);
    this.y = Math.min(Math.max(this.y + y, 0), this.film.height);
    this.draw();
  }

  window(centre, width) {
    this.centre = Math.min(Math.max(centre, 0), 1);
    this.width = Math.min(Math.max(width, 0.01), 1);
    this.draw();
  }

  toFilm(x, y) {
    return [this.x + (x - this.canvas.width / 2) / this.scale, this.y + (y - this.canvas.height / 2) / this.scale];
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * this.canvas.width) / box.width, ((event.clientY - box.top) * this.canvas.height) / box.height];
  }

  press(event) {
    if (!this.film) return;
    if (this.picking) {
      const [x, y] = this.toFilm(...this.at(event)).map(Math.floor);
      if (x >= 0 && y >= 0 && x < this.film.width && y < this.film.height) this.picking(x, y);
      return;
    }
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.at(event));
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.at(event);
    const other = [...this.pointers.entries()].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    if (other) {
      const apart = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]) || 1;
      this.zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (event.shiftKey || event.buttons === 2) {
      this.window(this.centre - dy / this.canvas.height, this.width + dx / this.canvas.width);
    } else {
      this.shift(-dx / this.scale, -dy / this.scale);
    }
  }

  wheel(event) {
    if (!this.film) return;
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 500), ...this.at(event));
  }

  key(event) {
    if (!this.film || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60 / this.scale;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in arrows) {
      const [x, y] = arrows[event.key];
      if (event.shiftKey) this.window(this.centre + y * 0.02, this.width - x * 0.03);
      else this.shift(x * step, y * step);
    } else if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(0.8);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
  }

  draw() {
    this.waiting ??= requestAnimationFrame(() => this.paint());
  }

  paint() {
    cancelAnimationFrame(this.waiting);
    this.waiting = null;
    this.render(this.canvas, this);
    this.changed(this);
  }

  // Draw a view, `x, y` in the middle and `scale`, into a canvas.
  render(canvas, view) {
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!this.film) return;
    context.putImageData(this.grey(canvas, view), 0, 0);
    const left = canvas.width / 2 - view.x * view.scale, top = canvas.height / 2 - view.y * view.scale;
    const size = [this.film.width * view.scale, this.film.height * view.scale];
    if (this.map?.picture && this.opacity) {
      context.globalAlpha = this.opacity;
      context.imageSmoothingEnabled = true;
      context.drawImage(this.map.picture, left, top, ...size);
      context.globalAlpha = 1;
    }
    const unit = Math.max(canvas.height / 700, 1);
    const place = (x, y) => [left + (x + 0.5) * view.scale, top + (y + 0.5) * view.scale];
    context.lineWidth = 1.5 * unit;
    if (this.map?.hottest && this.opacity) this.cross(context, place(...this.map.hottest), 9 * unit, "#ffffff");
    if (this.point) this.cross(context, place(...this.point), 14 * unit, MARK);
    if (this.showMarks) {
      context.font = `600 ${13 * unit}px sans-serif`;
      this.marks.slice(0, MARKS_SHOWN).forEach((mark, n) => {
        const [x, y] = place(mark.x0_px, mark.y0_px), [x1, y1] = place(mark.x1_px, mark.y1_px);
        for (const [colour, width] of [["#000", 4 * unit], [MARK, 2 * unit]]) {
          context.strokeStyle = colour;
          context.lineWidth = width;
          context.strokeRect(x, y, x1 - x, y1 - y);
        }
        context.fillStyle = "#000";
        context.fillRect(x, y - 18 * unit, 18 * unit, 18 * unit);
        context.fillStyle = MARK;
        context.fillText(String(n + 1), x + 5 * unit, y - 4 * unit);
      });
    }
  }

  cross(context, [x, y], arm, colour) {
    for (const [stroke, width] of [["#000", 4], [colour, 2]]) {
      context.strokeStyle = stroke;
      context.lineWidth = (width * arm) / 9;
      context.beginPath();
      context.moveTo(x - arm, y);
      context.lineTo(x + arm, y);
      context.moveTo(x, y - arm);
      context.lineTo(x, y + arm);
      context.stroke();
    }
  }

  grey(canvas, view) {
    const { width, height } = canvas;
    const image = new ImageData(width, height);
    const out = new Uint32Array(image.data.buffer).fill(0xff000000);
    const step = Math.min(Math.max(Math.floor(Math.log2(1 / view.scale)), 0), this.levels.length - 1);
    const { data, width: w, height: h } = this.levels[step];
    const shrunk = 2 ** step, scale = view.scale * shrunk;
    const shown = this.shades();
    const columns = new Int32Array(width);
    for (let x = 0; x < width; x++) columns[x] = Math.floor((view.x + (x + 0.5 - width / 2) / view.scale) / shrunk);
    for (let y = 0; y < height; y++) {
      const row = Math.floor((view.y + (y + 0.5 - height / 2) / view.scale) / shrunk);
      if (row < 0 || row >= h || scale <= 0) continue;
      for (let x = 0, to = y * width, from = row * w; x < width; x++, to++) {
        const column = columns[x];
        if (column >= 0 && column < w) out[to] = shown[data[from + column]];
      }
    }
    return image;
  }

  // The shade of each grey level in the window.
  shades() {
    const { white, data } = this.film;
    const shown = new Uint32Array(data.BYTES_PER_ELEMENT === 2 ? 65536 : 256);
    const low = (this.centre - this.width / 2) * white, range = Math.max(this.width * white, 1);
    for (let level = 0; level < shown.length; level++) {
      const grey = Math.min(Math.max(Math.round((255 * (level - low)) / range), 0), 255);
      shown[level] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
    return shown;
  }
}
