// Draws every element of class head-view from the JSON in it: thumbnails of all heads, and the lines of
// the chosen one. Text from the input only ever becomes textContent.
(() => {
  "use strict";
  const FINEST = 48; // pixels of a thumbnail's side
  const MOST_AT_ONCE = 1 << 20; // weights; of more only the thumbnails in sight are drawn
  const MOST_LINES = 3000; // the strongest
  const EVEN = 8; // times the even weight: what is at least shown as brightest
  const FAINTEST = 0.03; // of the strongest: weaker lines are not drawn

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  const inflated = async (text) => {
    const letters = atob(text);
    const bytes = new Uint8Array(letters.length);
    for (let place = 0; place < letters.length; place++) bytes[place] = letters.charCodeAt(place);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  const percent = (share) => (share >= 0.995 ? "100 %" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`);
  const quoted = (name) => `‘${name}’`;

  // The 256 colours of a ramp given by a few, as [red, green, blue].
  const colours = (ramp) => {
    const stops = ramp.map((hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16)));
    return Array.from({ length: 256 }, (_, level) => {
      const place = (level / 255) * (stops.length - 1);
      const low = Math.min(Math.floor(place), stops.length - 2);
      return stops[low].map((one, i) => one + (stops[low + 1][i] - one) * (place - low));
    });
  };

  class HeadView {
    constructor(root, given, bytes) {
      this.root = root;
      this.given = given;
      this.bytes = bytes;
      this.ramp = colours(given.ramp);
      this.special = true;
      this.active = null; // {side: "query" | "key", item}
      this.kept = false;
      this.cells = [];
      let offset = 0;
      given.rows.forEach((row, r) => {
        const q = given.sides[row.queries].names.length;
        const k = given.sides[row.keys].names.length;
        this.cells.push(row.heads.map((head, c) => ({ r, c, q, k, row, head, offset: offset + c * q * k })));
        offset += row.heads.length * q * k;
      });
      this.chosen = this.cells[given.start[0]][given.start[1]];
      this.build();
      this.choose(this.chosen);
    }

    weight(cell, query, key) {
      const root = this.bytes[cell.offset + query * cell.k + key] / 255;
      return root * root;
    }

    shown(side) {
      const { names, special } = this.given.sides[side];
      const hidden = this.special ? new Set() : new Set(special);
      const all = names.map((_, item) => item).filter((item) => !hidden.has(item));
      return all.length ? all : names.map((_, item) => item);
    }

    build() {
      const { words, together } = this.given;
      const panes = element("div", { class: `panes${together ? " together" : ""}` });
      panes.append(this.modelPane(), this.headPane());
      this.root.append(this.bar(), panes);
      this.root.addEventListener("keydown", (event) => {
        if (event.key === "Escape") this.point(null);
      });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.drawPanels());
      addEventListener("beforeprint", () => this.cells.flat().forEach((cell) => this.thumbnail(cell)));
      new ResizeObserver(() => this.drawPanels()).observe(this.panels);
    }

    bar() {
      const bar = element("div", { class: "bar" });
      const anySpecial = Object.values(this.given.sides).some((side) => side.special.length);
      if (anySpecial) {
        const box = element("input", { type: "checkbox", checked: "" });
        box.addEventListener("change", () => {
          this.special = box.checked;
          this.redraw();
        });
        bar.append(element("label", {}, box, ` ${this.given.toggle}`));
      }
      if (this.given.picture) {
        const name = `direction-${this.root.dataset.view}`;
        for (const [side, text] of [["query", "where it looks"], ["key", "who looks at it"]]) {
          const radio = element("input", { type: "radio", name, value: side });
          radio.checked = side === "query";
          radio.addEventListener("change", () => {
            this.direction = side;
            if (this.active) this.active.side = side;
            this.drawPanels();
          });
          bar.append(element("label", {}, radio, ` ${text}`));
        }
        this.direction = "query";
      }
      return bar;
    }

    // -- the model view

    modelPane() {
      const { rows, columns, words } = this.given;
      const grid = element("div", { class: "grid", role: "grid", "aria-label": "Every head" });
      grid.style.setProperty("--columns", columns.length);
      grid.style.setProperty("--rows", rows.length);
      const head = element("div", { class: "row", role: "row" }, element("span", { role: "columnheader" }));
      columns.forEach((name) => head.append(element("span", { class: "column", role: "columnheader" }, name)));
      grid.append(head);
      this.all = this.bytes.length <= MOST_AT_ONCE;
      this.observer = new IntersectionObserver((entries) => {
        for (const entry of entries) {
          entry.target.cell.seen = entry.isIntersecting;
          if (entry.isIntersecting) this.thumbnail(entry.target.cell);
        }
      });
      rows.forEach((row, r) => {
        const line = element("div", { class: "row", role: "row" });
        line.append(element("span", { class: "name", role: "rowheader" }, row.title));
        for (const cell of this.cells[r]) {
          const { name, role, mark } = cell.head;
          const label = role ? `${name}, ${role}` : name;
          cell.canvas = element("canvas", { "aria-hidden": "true" });
          cell.button = element("button", {
            type: "button", role: "gridcell", tabindex: "-1", title: label, "aria-label": label,
            class: mark ? "mark" : "",
          }, cell.canvas); // prettier-ignore
          cell.button.cell = cell;
          cell.seen = this.all;
          cell.button.addEventListener("click", () => this.choose(cell));
          if (this.all) this.thumbnail(cell);
          else this.observer.observe(cell.button);
          line.append(cell.button);
        }
        grid.append(line);
      });
      grid.addEventListener("keydown", (event) => this.walkGrid(event));
      const caption = `${words[0]}s down, ${words[1].toLowerCase()}s across. In each square rows look and ` +
        "columns are looked at; brighter: more of that head's weight (its square root is shown).";
      return element("section", { class: "model", "aria-label": "Model view" },
        element("div", { class: "scroll" }, grid), element("p", { class: "note" }, caption)); // prettier-ignore
    }

    walkGrid(event) {
      const steps = {
        ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
        Home: [0, -Infinity], End: [0, Infinity],
      }; // prettier-ignore
      const step = steps[event.key];
      if (!step) return;
      event.preventDefault();
      const within = (value, count) => Math.max(0, Math.min(count - 1, value));
      const row = this.cells[within(this.chosen.r + step[0], this.cells.length)];
      const cell = row[within(this.chosen.c + step[1], row.length)];
      this.choose(cell);
      cell.button.focus();
    }

    thumbnail(cell) {
      if (cell.drawn === this.special) return;
      cell.drawn = this.special;
      const queries = this.shown(cell.row.queries);
      const keys = this.shown(cell.row.keys);
      const width = Math.min(keys.length, FINEST);
      const height = Math.min(queries.length, FINEST);
      const strongest = new Uint8Array(width * height);
      queries.forEach((query, i) => {
        const y = Math.floor((i * height) / queries.length);
        keys.forEach((key, j) => {
          const place = y * width + Math.floor((j * width) / keys.length);
          const level = this.bytes[cell.offset + query * cell.k + key];
          if (level > strongest[place]) strongest[place] = level;
        });
      });
      // an even head is to look even, so a head's strongest weight counts as some times the even one
      const even = EVEN / keys.length;
      const top = 255 * Math.sqrt(Math.max(even, (Math.max(...strongest) / 255) ** 2, 1e-6));
      Object.assign(cell.canvas, { width, height });
      const context = cell.canvas.getContext("2d");
      const image = context.createImageData(width, height);
      strongest.forEach((level, place) => image.data.set([...this.ramp[Math.min(255, Math.round((255 * level) / Math.min(255, top)))], 255], 4 * place));
      context.putImageData(image, 0, 0);
    }

    redraw() {
      this.active = null;
      for (const cell of this.cells.flat()) if (cell.seen) this.thumbnail(cell);
      this.fill();
    }

    // -- the head view

    headPane() {
      const { rows, words, together } = this.given;
      const select = (label, texts, chosen) => {
        const box = element("select", {});
        texts.forEach((text, value) => box.append(element("option", { value }, text)));
        box.addEventListener("change", () => chosen(Number(box.value)));
        return [element("label", {}, `${label} `, box), box];
      };
      const [rowLabel, rowBox] = select(words[0], rows.map((row) => row.title), (r) =>
        this.choose(this.cells[r][Math.min(this.chosen.c, this.cells[r].length - 1)])); // prettier-ignore
      this.rowBox = rowBox;
      const chooser = element("div", { class: "chooser" }, rowLabel);
      if (!together) {
        const [label, box] = select(words[1], this.given.columns, (c) => this.choose(this.cells[this.chosen.r][c]));
        this.columnBox = box;
        chooser.append(label);
      }
      this.title = element("h3", {});
      // below the tokens: a sentence that grows must not move them away from the pointer
      this.said = element("p", { class: "said", "aria-live": "polite" });
      this.panels = element("div", { class: "panels" });
      this.facts = element("div", { class: "panels" });
      return element("section", { class: "head", "aria-label": "Head view" },
        chooser, this.title, this.panels, this.said, this.facts); // prettier-ignore
    }

    choose(cell) {
      for (const other of this.cells.flat()) {
        const here = this.given.together ? other.r === cell.r : other === cell;
        other.button.setAttribute("aria-selected", String(here));
        other.button.tabIndex = other === cell ? 0 : -1;
      }
      const sameSides = cell.row.queries === this.chosen.row.queries && cell.row.keys === this.chosen.row.keys;
      this.chosen = cell;
      this.rowBox.value = cell.r;
      if (this.columnBox) this.columnBox.value = cell.c;
      if (!sameSides || !this.kept) this.active = null;
      this.fill();
    }

    // The heads side by side: one, or the whole row where checkpoints are compared.
    get open() {
      return this.given.together ? this.cells[this.chosen.r] : [this.chosen];
    }

    fill() {
      const { head, row } = this.chosen;
      this.title.replaceChildren(this.given.together ? row.title : head.name);
      if (head.role && !this.given.together) this.title.append(" ", element("span", { class: "role" }, head.role));
      this.drawn = this.open.map((cell) => (this.given.picture ? this.picturePanel(cell) : this.linePanel(cell)));
      this.panels.replaceChildren(...this.drawn.map((panel) => panel.root));
      this.facts.replaceChildren(...this.open.map((cell) => this.numbers(cell)));
      this.drawPanels();
    }

    numbers(cell) {
      const list = element("dl", { class: "numbers" });
      this.given.facts.forEach((name, place) => {
        const text = cell.head.facts[place];
        list.append(element("div", {}, element("dt", {}, name), element("dd", {}, text)));
      });
      const whose = this.given.together ? [element("h4", {}, this.given.columns[cell.c])] : [];
      return element("div", { class: "panel" }, ...whose, list);
    }

    item(cell, side, item, name, special) {
      const text = element("span", { class: "text" }, name);
      const share = element("span", { class: "share" });
      const button = element("button", {
        type: "button", class: `item${special ? " special" : ""}`, tabindex: "-1", "aria-pressed": "false",
      }, text, share); // prettier-ignore
      button.addEventListener("mouseenter", () => this.kept || this.point({ side, item }));
      button.addEventListener("mouseleave", () => this.kept || this.point(null));
      button.addEventListener("focus", () => {
        if (!this.kept && button.matches(":focus-visible")) this.point({ side, item });
      });
      button.addEventListener("click", () => {
        const same = this.kept && this.active?.side === side && this.active?.item === item;
        this.kept = false;
        this.point(same ? null : { side, item });
        this.kept = !same;
        this.drawPanels();
      });
      return { button, share, item, side, name };
    }

    linePanel(cell) {
      const made = { cell, items: { query: [], key: [] } };
      const columns = {};
      for (const [side, title, which] of [["query", "looks", "queries"], ["key", "is looked at", "keys"]]) {
        const given = this.given.sides[cell.row[which]];
        const list = element("div", { class: `side ${side === "query" ? "from" : "to"}`, role: "group", "aria-label": title });
        for (const item of this.shown(cell.row[which])) {
          const one = this.item(cell, side, item, given.names[item], given.special.includes(item));
          made.items[side].push(one);
          list.append(one.button);
        }
        if (made.items[side].length) made.items[side][0].button.tabIndex = 0;
        columns[side] = element("div", {}, element("p", { class: "heading" }, title), list);
      }
      made.canvas = element("canvas", { "aria-hidden": "true" });
      made.lines = element("div", { class: "lines" },
        columns.query, element("div", { class: "between" }, made.canvas), columns.key); // prettier-ignore
      made.lines.addEventListener("keydown", (event) => this.walkItems(event, made));
      made.root = element("div", { class: "panel" });
      if (this.given.together) made.root.append(element("h4", {}, this.given.columns[cell.c]));
      made.root.append(made.lines);
      made.draw = () => this.drawLines(made);
      return made;
    }

    walkItems(event, panel) {
      const side = document.activeElement.closest(".from") ? "query" : "key";
      const place = panel.items[side].findIndex((one) => one.button === document.activeElement);
      if (place < 0) return;
      const columns = panel.across ?? 1;
      const steps = { ArrowUp: -columns, ArrowDown: columns };
      if (panel.across) Object.assign(steps, { ArrowLeft: -1, ArrowRight: 1 });
      let target = panel.items[side][place + (steps[event.key] ?? 0)];
      if (!panel.across && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
        const other = panel.items[event.key === "ArrowLeft" ? "query" : "key"];
        target = other[Math.min(place, other.length - 1)];
      } else if (!(event.key in steps)) return;
      event.preventDefault();
      if (!target) return;
      for (const one of panel.items[target.side]) one.button.tabIndex = one === target ? 0 : -1;
      target.button.focus();
    }

    picturePanel(cell) {
      const { picture, sides } = this.given;
      const { names, special } = sides[cell.row.keys];
      const made = { cell, items: { query: [], key: [] }, across: picture.columns };
      const chips = element("div", { class: "chips" });
      const patches = element("div", { class: "patches" });
      patches.style.gridTemplateColumns = `repeat(${picture.columns}, 1fr)`;
      names.forEach((name, item) => {
        const one = this.item(cell, "query", item, name, special.includes(item));
        const button = one.button;
        if (item >= picture.before) {
          button.className = "patch";
          button.setAttribute("aria-label", name);
          button.replaceChildren();
          patches.append(button);
        } else if (this.special) chips.append(button);
        made.items.query.push(one);
      });
      made.items.query[0].button.tabIndex = 0;
      if (made.items.query[picture.before]) made.items.query[picture.before].button.tabIndex = 0;
      const shown = element("div", { class: "picture from" },
        element("img", { src: picture.address, alt: "The image as the model saw it" }), patches); // prettier-ignore
      shown.addEventListener("keydown", (event) => this.walkItems(event, made));
      made.root = element("div", { class: "panel" }, chips, shown);
      made.draw = () => this.drawPicture(made);
      return made;
    }

    point(active) {
      if (active === null) this.kept = false;
      if (active && this.given.picture) active.side = this.direction;
      this.active = active;
      this.drawPanels();
    }

    drawPanels() {
      for (const panel of this.drawn ?? []) panel.draw();
      this.say();
    }

    // What the active item gives to (or gets from) each item of the other side.
    shares(cell) {
      const { side, item } = this.active;
      const others = this.shown(side === "query" ? cell.row.keys : cell.row.queries);
      const of = (other) => (side === "query" ? this.weight(cell, item, other) : this.weight(cell, other, item));
      return new Map(others.map((other) => [other, of(other)]));
    }

    drawLines(panel) {
      const { cell, items, canvas, lines } = panel;
      const shares = this.active ? this.shares(cell) : null;
      const most = shares ? Math.max(1e-9, ...shares.values()) : 1;
      for (const side of ["query", "key"]) {
        for (const one of items[side]) {
          const own = this.active?.side === side && this.active.item === one.item;
          const share = shares && this.active.side !== side ? shares.get(one.item) : undefined;
          one.button.classList.toggle("active", own);
          one.button.setAttribute("aria-pressed", String(own && this.kept));
          one.button.style.setProperty("--share", share === undefined ? 0 : (share / most).toFixed(3));
          one.share.textContent = share !== undefined && share >= 0.005 ? percent(share) : "";
        }
      }
      const box = canvas.getBoundingClientRect();
      const scale = devicePixelRatio || 1;
      if (!box.width) return;
      Object.assign(canvas, { width: box.width * scale, height: box.height * scale });
      const context = canvas.getContext("2d");
      context.scale(scale, scale);
      context.strokeStyle = getComputedStyle(lines).color;
      const middle = (one) => {
        const place = one.button.getBoundingClientRect();
        return place.top + place.height / 2 - box.top;
      };
      const right = items.key.map((one) => [one.item, middle(one)]);
      const all = [];
      for (const one of items.query) {
        if (this.active?.side === "query" && this.active.item !== one.item) continue;
        const y = middle(one);
        for (const [key, other] of right) {
          if (this.active?.side === "key" && this.active.item !== key) continue;
          all.push([this.weight(cell, one.item, key), y, other]);
        }
      }
      const top = all.reduce((found, [weight]) => Math.max(found, weight), 1e-9);
      const strongest = all.filter(([weight]) => weight >= FAINTEST * top).sort((a, b) => b[0] - a[0]);
      for (const [weight, from, to] of strongest.slice(0, MOST_LINES)) {
        const share = weight / top;
        context.globalAlpha = 0.04 + 0.85 * share ** (this.active ? 1 : 1.6);
        context.lineWidth = this.active ? 0.8 + 3.2 * share : 0.8 + 1.4 * share;
        context.beginPath();
        context.moveTo(0, from);
        context.bezierCurveTo(box.width * 0.45, from, box.width * 0.55, to, box.width, to);
        context.stroke();
      }
    }

    drawPicture(panel) {
      const { cell, items } = panel;
      const shown = this.shown(cell.row.keys);
      const shares = this.active ? this.shares(cell) : new Map(shown.map((key) => [key, this.mean(cell, key)]));
      const { before } = this.given.picture;
      const patches = [...shares].filter(([item]) => item >= before).map(([, share]) => share);
      const most = Math.max(1e-9, ...patches);
      for (const one of items.query) {
        const own = this.active?.item === one.item;
        const share = shares.get(one.item) ?? 0;
        one.button.classList.toggle("active", own);
        one.button.setAttribute("aria-pressed", String(own && this.kept));
        one.button.style.setProperty("--share", Math.min(1, share / most).toFixed(3));
        one.share.textContent = percent(share);
        one.button.title = `${one.name}: ${percent(share)}`;
      }
    }

    mean(cell, key) {
      const queries = this.shown(cell.row.queries);
      return queries.reduce((sum, query) => sum + this.weight(cell, query, key), 0) / queries.length;
    }

    say() {
      if (!this.active) {
        const what = this.given.picture ? "patch" : "token";
        const now = this.given.picture ? "Bright: looked at, by all of them on average. " : "";
        this.said.textContent = `${now}Point at a ${what}, or reach one with Tab and the arrow keys; Enter or a click keeps it, Escape lets go.`;
        return;
      }
      const { side, item } = this.active;
      const sentences = this.open.map((cell) => {
        const own = this.given.sides[side === "query" ? cell.row.queries : cell.row.keys].names[item];
        const names = this.given.sides[side === "query" ? cell.row.keys : cell.row.queries].names;
        const shares = this.shares(cell);
        const first = [...shares].sort((a, b) => b[1] - a[1]).slice(0, 3);
        const listed = first.map(([other, share]) => `${quoted(names[other])} ${percent(share)}`).join(", ");
        const rest = 1 - [...shares.values()].reduce((sum, share) => sum + share, 0);
        const who = this.given.together ? `${this.given.columns[cell.c]}: ` : "";
        const away = side === "query" && rest > 0.02 ? `; ${percent(rest)} goes to what is not shown` : "";
        const verb = side === "query" ? "looks most at" : "is looked at most by";
        return `${who}${quoted(own)} ${verb} ${listed}${away}.`;
      });
      this.said.textContent = sentences.join(" ");
    }
  }

  for (const root of document.querySelectorAll(".head-view")) {
    const given = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    inflated(given.matrices).then(
      (bytes) => { root.view = new HeadView(root, given, bytes); },
      () => root.append(element("p", {}, "This browser cannot unpack the heads; a newer one can.")),
    ); // prettier-ignore
  }
})();
