/* SPDX-License-Identifier: MIT */
/* The path view, and how to get there by words: one token, the strongest features of every level on it, and the lines of the forest between them. */

const REACH = 24;

/* Features of the levels in the order of the tree: under their parents, else by activation. */
function pathOrder(levels) {
  const place = new Map();
  return levels.map(features => {
    const rank = ({g}) => place.has(forest.parent[g]) ? place.get(forest.parent[g]) : Infinity;
    const ordered = [...features].sort((a, b) => rank(a) - rank(b) || b.value - a.value);
    ordered.forEach(({g}, k) => place.set(g, k));
    return ordered;
  });
}

function pathColumn(features, l, more, linked, from) {
  const most = Math.max(...features.map(({value}) => value), 1e-9);
  const items = features.map(({g, value}) => {
    const alone = !linked.has(g);
    const link = featureLink(g, chips(g, 2), make('span', {className: 'value'}, number(value)));
    link.classList.add('step');
    link.dataset.g = g;
    if (alone)
      link.classList.add('alone');
    if (g === from)
      link.classList.add('from');
    link.style.setProperty('--share', (value / most).toFixed(3));
    const above = forest.parent[g];
    return make('li', {}, link, l > 0 && !alone && above >= 0 && linked.has(above) ? make('span', {className: 'under'}, '\u21b3 under ' + nameOf(above)) : null);
  });
  return make('section', {className: 'path-level ' + levelClass(l)}, make('h3', {}, 'Level ' + l), make('ol', {}, ...items),
    make('p', {className: 'quiet'}, more ? 'and ' + plural(more, 'weaker one') : features.length ? '' : 'none is active'));
}

function drawLines(box, lines) {
  const area = box.getBoundingClientRect();
  const at = new Map();
  for (const step of box.querySelectorAll('.step'))
    at.set(+step.dataset.g, step.getBoundingClientRect());
  lines.setAttribute('viewBox', `0 0 ${area.width} ${area.height}`);
  lines.replaceChildren();
  for (const [g, mine] of at) {
    const above = at.get(forest.parent[g]);
    if (!above || above.right > mine.left)
      continue;
    const x0 = above.right - area.left, y0 = above.top + above.height / 2 - area.top, x1 = mine.left - area.left, y1 = mine.top + mine.height / 2 - area.top, bend = (x1 - x0) / 2;
    lines.append(svg('path', {d: `M${x0} ${y0}C${x0 + bend} ${y0} ${x1 - bend} ${y1} ${x1} ${y1}`, class: levelClass(forest.level[g])}));
  }
}

async function showPath(position, from) {
  const [run, path] = await Promise.all([runAt(position), pathOf(position)]);
  if (view.target.kind !== 'token' || view.target.position !== position)
    return;
  const card = $('card'), parts = [backButton()];
  card.className = 'path';
  card.setAttribute('aria-label', 'Path of token ' + position);
  if (from >= 0)
    parts.push(make('p', {className: 'came'}, 'From ', featureLink(from, chips(from, 2))));
  const k = run ? position - run.first : -1;
  const step = by => make('button', {type: 'button', disabled: !run || k + by < 0 || k + by >= run.ids.length, 'aria-label': by < 0 ? 'Previous token' : 'Next token', 'data-step': by,
    onclick: () => go({kind: 'token', position: position + by, from}, true)}, by < 0 ? '\u2039' : '\u203a');
  parts.push(make('div', {className: 'title'}, make('h2', {}, 'Path of ', make('bdi', {className: 'chip'}, run ? tokenText(run.ids[k]) : '?')), step(-1), step(1)),
    make('p', {className: 'quiet'}, isLive(position) ? 'Token ' + number(k) + ' of your text' : 'Token ' + number(position) + (run ? ' of the data, in sequence ' + number(run.sequence) : '')));
  if (run) {
    const first = Math.max(0, k - REACH), text = make('p', {className: 'text large', role: 'group', 'aria-label': 'Text around the token'});
    run.ids.slice(first, k + REACH + 1).forEach((id, offset) => {
      const here = first + offset === k;
      text.append(make('bdi', {className: 'token' + (here ? ' here' : '') + (/^ ?\u23ce+$/.test(tokenText(id)) ? ' break' : ''), 'data-position': run.first + first + offset, role: 'link',
        tabindex: here ? '0' : '-1', 'aria-current': here ? 'true' : null, 'aria-label': tokenText(id) + (here ? ', this token' : '')}, tokenText(id)));
    });
    parts.push(text);
  } else
    parts.push(make('p', {className: 'quiet'}, 'The text around this token is not kept in the page.'));
  if (path)
    parts.push(...pathParts(path, from));
  else
    parts.push(make('p', {className: 'quiet'}, 'The features of this token are not kept in the page.'));
  card.replaceChildren(...parts);
  card.scrollTop = 0;
  const box = card.querySelector('.levels');
  if (box) {
    const lines = box.querySelector('svg');
    new ResizeObserver(() => drawLines(box, lines)).observe(box);
  }
}

const MAX_FOUND = 100;

/* Where a text occurs in the kept text, in order: [{run, first, last}..] with offsets of tokens, at most MAX_FOUND. */
async function occurrences(query) {
  const needle = query.replace(/^"(.+)"$/, '$1').toLowerCase(), found = [];
  const names = Array.from(document.querySelectorAll('script[id^="text-"]'), element => element.id).sort((a, b) => a.slice(5) - b.slice(5));
  for (const name of needle ? names : [])
    for (const [start, sequence, ids] of (await load(name)).runs) {
      const ends = [];
      let text = '';
      for (const id of ids) {
        text += forest.strings[id].toLowerCase();
        ends.push(text.length);
      }
      for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + 1)) {
        const first = ends.findIndex(end => end > at), last = ends.findIndex(end => end >= at + needle.length);
        found.push({start, sequence, ids, first, last});
        if (found.length === MAX_FOUND)
          return found;
      }
    }
  return found;
}

/* The features that are active on the places, by their activation there over their largest; the mean over all places. */
async function activeOn(found) {
  const sums = new Map();
  for (const {start, first, last} of found) {
    const best = new Map();
    for (let at = first; at <= last; at++)
      for (const {g, value} of (await pathOf(start + at))?.levels.flat() || [])
        best.set(g, Math.max(best.get(g) || 0, forest.peak[g] > 0 ? Math.min(1, value / forest.peak[g]) : 0));
    best.forEach((share, g) => sums.set(g, (sums.get(g) || 0) + share));
  }
  return [...sums].map(([g, sum]) => ({g, strength: sum / found.length})).sort((a, b) => b.strength - a.strength || a.g - b.g).slice(0, 24);
}

async function showFound(query) {
  const found = await occurrences(query);
  if (view.target.kind !== 'find' || wanted.q !== query)
    return;
  const active = await activeOn(found);
  if (view.target.kind !== 'find' || wanted.q !== query)
    return;
  const card = $('card');
  card.className = 'find';
  card.setAttribute('aria-label', 'Found in the text');
  const items = found.map(({start, ids, first, last}) => {
    const from = Math.max(0, first - REACH / 2), text = make('p', {className: 'text', role: 'group', 'aria-label': 'Found at token ' + (start + first)});
    ids.slice(from, last + 1 + REACH / 2).forEach((id, k) => {
      const sought = from + k >= first && from + k <= last;
      text.append(make('bdi', {className: 'token' + (sought ? ' sought' : ''), 'data-position': start + from + k, role: 'link', tabindex: from + k === last ? '0' : '-1', 'aria-label': tokenText(id)}, tokenText(id)));
    });
    return make('li', {className: 'context'}, text);
  });
  card.replaceChildren(backButton(), make('h2', {}, 'In the text: ', make('bdi', {className: 'chip'}, visible(query))),
    make('p', {className: 'quiet'}, (found.length === MAX_FOUND ? 'The first ' + MAX_FOUND + ' places' : plural(found.length, 'place')) + ' in the text that the page keeps. A token leads to its features.'),
    active.length ? make('section', {}, make('div', {className: 'family-head'}, make('h3', {}, 'Active on it'), make('span', {className: 'meter-head'}, 'strength')), longList(active, ({g, strength}) => relativeRow(g, [meter(strength, 'Activation there over the feature\u2019s largest, mean over the places')]), 6)) : '',
    make('ol', {className: 'contexts'}, ...items));
  card.scrollTop = 0;
}

function pathParts(path, from) {
  const ordered = pathOrder(path.levels), here = new Set(path.levels.flat().map(({g}) => g)), linked = new Set();
  for (const g of here)
    if (here.has(forest.parent[g]))
      linked.add(g).add(forest.parent[g]);
  const columns = ordered.map((features, l) => pathColumn(features, l, path.more[l] || 0, linked, from));
  return [make('div', {className: 'levels', '--levels': String(forest.levels)}, svg('svg', {class: 'lines', 'aria-hidden': 'true', preserveAspectRatio: 'none'}), ...columns),
    make('p', {className: 'quiet'}, 'Bars: activation against the level\u2019s strongest on this token. Lines: parent and child, both active. Without a line: the parent is silent, or weaker than the ones shown, or there is none.')];
}
