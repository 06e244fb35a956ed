/* SPDX-License-Identifier: MIT */
/* The tree under a feature as a file to print: SVG, 5.5 inches wide, text of 7.5 points in columns of one width, each word at its place, as
 * hsae explore --figure draws it. */

const PAPER = {width: 396, size: 7.5, advance: 0.602 * 7.5, line: 10, pad: 5, margin: 8, gap: 7, indent: 14, examples: 3, children: [4, 3, 2]};
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]|\p{Extended_Pictographic}/u;

const columnsOfCharacter = character => /\p{M}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
const columnsOf = text => Array.from(text).reduce((sum, character) => sum + columnsOfCharacter(character), 0);

/* Words of a text from column `at` on, as text elements; at most `most` columns. */
function figureWords(text, at, most, x, y, properties = {}) {
  const out = [];
  let word = '', begin = at, used = at;
  const flush = () => {
    if (word)
      out.push(svg('text', {x: (x + begin * PAPER.advance).toFixed(2), y: y.toFixed(2), textLength: ((used - begin) * PAPER.advance).toFixed(2), lengthAdjust: 'spacingAndGlyphs', ...properties}, word));
    word = '';
  };
  for (const character of text) {
    const wide = columnsOfCharacter(character);
    if (used + wide > most)
      break;
    if (character === ' ') {
      flush();
      begin = ++used;
      continue;
    }
    if (!word)
      begin = used;
    word += character;
    used += wide;
  }
  flush();
  return out;
}

/* The offsets of the tokens around the peak that fit a line, more of those before it. */
function figureFit(texts, peak, room) {
  let begin = peak, end = peak + 1, used = columnsOf(texts[peak]), left = true, right = true;
  for (let turn = 0; left || right; turn++) {
    const before = turn % 3 < 2;
    if (!(before ? left : right))
      continue;
    const at = before ? begin - 1 : end, more = texts[at] === undefined ? Infinity : columnsOf(texts[at]);
    if (used + more > room)
      before ? left = false : right = false;
    else {
      used += more;
      before ? begin-- : end++;
    }
  }
  return [begin, end];
}

async function figureContext(g, context, columns, x, y) {
  const [start, length, peak, , flat] = context, values = new Map(pairs(flat)), full = fullOf(g);
  const texts = (await windowIds(start, length)).map(tokenText), [begin, end] = figureFit(texts, peak, columns), out = [];
  let at = 0;
  for (let k = begin; k < end && at < columns; k++) {
    const wide = Math.min(columnsOf(texts[k]), columns - at);
    if (values.get(k))
      out.push(svg('rect', {x: (x + at * PAPER.advance).toFixed(2), y: (y - 0.78 * PAPER.line).toFixed(2), width: (wide * PAPER.advance).toFixed(2), height: PAPER.line - 0.5, fill: '#f5a623',
        'fill-opacity': (0.15 + 0.75 * Math.min(1, values.get(k) / full)).toFixed(2)}));
    out.push(...figureWords(texts[k], at, columns, x, y, k === peak ? {'font-weight': 'bold'} : {}));
    at += wide;
  }
  return out;
}

async function figureBox(picture, g, depth, from) {
  const {contexts} = await detailsOf(g), shown = contexts.filter(context => context[3] === null).slice(0, PAPER.examples);
  const x = PAPER.margin + depth * PAPER.indent, width = PAPER.width - PAPER.margin - x, columns = Math.floor((width - 2 * PAPER.pad) / PAPER.advance);
  const top = picture.bottom, height = 2 * PAPER.pad + (1 + Math.max(1, shown.length)) * PAPER.line;
  let y = top + PAPER.pad + 0.75 * PAPER.line;
  if (from)
    picture.parts.unshift(svg('path', {d: `M${from.x + PAPER.indent / 2} ${from.bottom}V${top + height / 2}H${x}`, fill: 'none', stroke: '#444', 'stroke-width': 0.6}));
  const figures = percent(forest.density[g]).replace('\u202f', ' ') + (forest.parent[g] >= 0 ? '  P(p|c) ' + number(forest.p_parent[g]) + '  P(c|p) ' + number(forest.p_child[g]) : '');
  const head = (nameOf(g) + ' ' + (labelOf(g) ? visible(labelOf(g)) : '')).trim(), room = columns - columnsOf(figures) - 2;
  picture.parts.push(svg('rect', {x, y: top, width, height, rx: 3, fill: depth ? '#fff' : '#f4f4f0', stroke: '#444', 'stroke-width': 0.6}),
    ...figureWords(columnsOf(head) > room ? head.slice(0, Math.max(0, room - 1)) + '\u2026' : head, 0, room, x + PAPER.pad, y, {'font-weight': 'bold'}),
    ...figureWords(figures, Math.min(room, columnsOf(head)) + 2, columns, x + PAPER.pad, y, {fill: '#555'}));
  for (const context of shown)
    picture.parts.push(...await figureContext(g, context, columns, x + PAPER.pad, y += PAPER.line));
  if (!shown.length)
    picture.parts.push(...figureWords('no context', 0, columns, x + PAPER.pad, y + PAPER.line, {fill: '#555'}));
  picture.bottom = top + height + PAPER.gap;
  const children = Array.from(childrenOf(g)).sort((a, b) => (forest.p_child[b] || 0) - (forest.p_child[a] || 0) || a - b).slice(0, PAPER.children[depth] || 0);
  for (const child of children)
    await figureBox(picture, child, depth + 1, {x, bottom: top + height});
}

async function saveFigure(g) {
  const picture = {parts: [], bottom: PAPER.margin};
  await figureBox(picture, g, 0, null);
  const height = picture.bottom - PAPER.gap + PAPER.margin;
  const whole = svg('svg', {viewBox: `0 0 ${PAPER.width} ${height}`, width: PAPER.width + 'pt', height: height + 'pt', role: 'img', 'font-family': 'DejaVu Sans Mono, Menlo, Consolas, monospace', 'font-size': PAPER.size},
    svg('title', {}, 'The tree under ' + nameOf(g)), svg('rect', {width: '100%', height: '100%', fill: '#fff'}), ...picture.parts);
  saveFile(nameOf(g).replace('/', '-') + '.svg', 'image/svg+xml', new XMLSerializer().serializeToString(whole));
}
