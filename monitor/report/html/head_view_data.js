// What a head view shows: the names on both sides, and the weights of every head, unpacked from the page.

const inflated = async (text) => {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let place = 0; place < letters.length; place++) bytes[place] = letters.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

class HeadData {
  // `given` is what Python wrote; `bytes` holds all matrices one after another, 255 times a weight's root.
  constructor(given, bytes) {
    this.given = given;
    this.bytes = bytes;
    this.special = true; // whether special items are shown
    this.cells = []; // by row and column, one for each head
    let offset = 0;
    given.rows.forEach((row, r) => {
      const q = given.sides[row.queries].names.length;
      const k = given.sides[row.keys].names.length;
      this.cells.push(row.heads.map((head, c) => ({ r, c, q, k, row, head, offset: offset + c * q * k })));
      offset += row.heads.length * q * k;
    });
  }

  level(cell, query, key) {
    return this.bytes[cell.offset + query * cell.k + key];
  }

  weight(cell, query, key) {
    const root = this.level(cell, query, key) / 255;
    return root * root;
  }

  // The cell's side that looks ("query") or is looked at ("key"), with its names.
  side(cell, which) {
    return this.given.sides[which === "query" ? cell.row.queries : cell.row.keys];
  }

  // The numbers of the items on this side that are shown.
  shown(cell, which) {
    const { names, special } = this.side(cell, which);
    const hidden = this.special ? new Set() : new Set(special);
    const all = names.map((_, item) => item).filter((item) => !hidden.has(item));
    return all.length ? all : names.map((_, item) => item);
  }

  // What an item gives to (or gets from) each item of the other side.
  shares(cell, { side, item }) {
    const others = this.shown(cell, side === "query" ? "key" : "query");
    const of = (other) => (side === "query" ? this.weight(cell, item, other) : this.weight(cell, other, item));
    return new Map(others.map((other) => [other, of(other)]));
  }

  // What each item gets, by all that look on average.
  means(cell) {
    const queries = this.shown(cell, "query");
    const mean = (key) => queries.reduce((sum, query) => sum + this.weight(cell, query, key), 0) / queries.length;
    return new Map(this.shown(cell, "key").map((key) => [key, mean(key)]));
  }
}
