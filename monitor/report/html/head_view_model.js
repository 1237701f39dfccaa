// The model view: a grid with a thumbnail of every head's matrix, walked by the arrow keys.

const FINEST = 48; // pixels of a thumbnail's side
const MOST_AT_ONCE = 1 << 20; // weights; of more only the thumbnails in sight are drawn
const EVEN = 8; // times the even weight: what is at least shown as brightest
const STEPS = {
  ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
  Home: [0, -Infinity], End: [0, Infinity],
}; // prettier-ignore

// The 256 colours of a ramp given by a few, as [red, green, blue].
const colours = (ramp) => {
  const stops = ramp.map((hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16)));
  return Array.from({ length: 256 }, (_, level) => {
    const place = (level / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(place), stops.length - 2);
    return stops[low].map((one, i) => one + (stops[low + 1][i] - one) * (place - low));
  });
};

class ModelView {
  // `choose` is called with the cell that was clicked or walked to.
  constructor(data, choose) {
    this.data = data;
    this.choose = choose;
    this.ramp = colours(data.given.ramp);
    this.all = data.bytes.length <= MOST_AT_ONCE;
    this.observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        entry.target.cell.seen = entry.isIntersecting;
        if (entry.isIntersecting) this.draw(entry.target.cell);
      }
    });
    this.root = this.build();
    addEventListener("beforeprint", () => data.cells.flat().forEach((cell) => this.draw(cell)));
  }

  build() {
    const { rows, columns, words } = this.data.given;
    const grid = element("div", { class: "grid", role: "grid", "aria-label": "Every head" });
    grid.style.setProperty("--columns", columns.length);
    grid.style.setProperty("--rows", rows.length);
    const head = element("div", { class: "row", role: "row" }, element("span", { role: "columnheader" }));
    columns.forEach((name) => head.append(element("span", { class: "column", role: "columnheader" }, name)));
    grid.append(head);
    rows.forEach((row, r) => {
      const line = element("div", { class: "row", role: "row" });
      line.append(element("span", { class: "name", role: "rowheader" }, row.title));
      line.append(...this.data.cells[r].map((cell) => this.button(cell)));
      grid.append(line);
    });
    grid.addEventListener("keydown", (event) => this.walk(event));
    const caption = `${words[0]}s down, ${words[1].toLowerCase()}s across. In each square rows look and ` +
      "columns are looked at; brighter: more of that head's weight (its square root is shown).";
    return element("section", { class: "model", "aria-label": "Model view" },
      element("div", { class: "scroll" }, grid), element("p", { class: "note" }, caption)); // prettier-ignore
  }

  button(cell) {
    const { name, role, mark } = cell.head;
    const label = role ? `${name}, ${role}` : name;
    cell.canvas = element("canvas", { "aria-hidden": "true" });
    cell.button = element("button", {
      type: "button", role: "gridcell", tabindex: "-1", title: label, "aria-label": label,
      class: mark ? "mark" : "",
    }, cell.canvas); // prettier-ignore
    cell.button.cell = cell;
    cell.button.addEventListener("click", () => this.choose(cell));
    cell.seen = this.all;
    if (this.all) this.draw(cell);
    else this.observer.observe(cell.button);
    return cell.button;
  }

  // Mark the chosen cell, or its whole row where a row's heads are shown together.
  mark(cell) {
    this.chosen = cell;
    for (const other of this.data.cells.flat()) {
      const here = this.data.given.together ? other.r === cell.r : other === cell;
      other.button.setAttribute("aria-selected", String(here));
      other.button.tabIndex = other === cell ? 0 : -1;
    }
  }

  walk(event) {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const { cells } = this.data;
    const within = (value, count) => Math.max(0, Math.min(count - 1, value));
    const row = cells[within(this.chosen.r + step[0], cells.length)];
    const cell = row[within(this.chosen.c + step[1], row.length)];
    this.choose(cell);
    cell.button.focus();
  }

  // Draw what is in sight anew; the others follow when they come into sight.
  redraw() {
    for (const cell of this.data.cells.flat()) if (cell.seen) this.draw(cell);
  }

  draw(cell) {
    if (cell.drawn === this.data.special) return;
    cell.drawn = this.data.special;
    const { width, height, strongest, across } = this.pooled(cell);
    // an even head is to look even, so a head's strongest weight counts as some times the even one
    const even = EVEN / across;
    const top = Math.min(255, 255 * Math.sqrt(Math.max(even, (Math.max(...strongest) / 255) ** 2, 1e-6)));
    Object.assign(cell.canvas, { width, height });
    const context = cell.canvas.getContext("2d");
    const image = context.createImageData(width, height);
    strongest.forEach((level, place) => {
      const colour = this.ramp[Math.min(255, Math.round((255 * level) / top))];
      image.data.set([...colour, 255], 4 * place);
    });
    context.putImageData(image, 0, 0);
  }

  // The matrix in no more pixels than a thumbnail has: the strongest weight that falls on each.
  pooled(cell) {
    const queries = this.data.shown(cell, "query");
    const keys = this.data.shown(cell, "key");
    const width = Math.min(keys.length, FINEST);
    const height = Math.min(queries.length, FINEST);
    const strongest = new Uint8Array(width * height);
    queries.forEach((query, i) => {
      const y = Math.floor((i * height) / queries.length);
      keys.forEach((key, j) => {
        const place = y * width + Math.floor((j * width) / keys.length);
        const level = this.data.level(cell, query, key);
        if (level > strongest[place]) strongest[place] = level;
      });
    });
    return { width, height, strongest, across: keys.length };
  }
}
