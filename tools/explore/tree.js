/* SPDX-License-Identifier: MIT */
/* The forest as a tree or a list: which features match, in which order, and the few rows that are in sight. */

const ROW = 32;

/* What is looked for; part of the address. */
const wanted = {q: '', levels: null, state: '', place: '', denseFrom: null, denseTo: null, kidsFrom: null, kidsTo: null, sort: 'index'};

const tree = {relevance: null, best: null, rows: [], cursor: 0, open: new Set(), closed: new Set(), match: null, show: null, matches: 0, filtered: false};

/* A row is a feature (g >= 0) or the heading of the orphans of level l (-1 - l); depth apart. */

/* A feature is found by its tokens if at least this share of its activations is on tokens that match. */
const MIN_SHARE = 0.02;

/* How well a token fits a word: as a whole, as its beginning, or elsewhere in it. */
function tokenFit(string, word, exact) {
  const lower = string.toLowerCase(), bare = lower.trim();
  if (bare === word || lower === word)
    return 1;
  if (exact)
    return 0;
  if (bare.startsWith(word))
    return 0.7;
  return lower.includes(word) || visible(lower).includes(word) ? 0.3 : 0;
}

/* How well each feature fits one word: the share of its activations on tokens that match, more where its label or its words do. */
function wordRelevance(word, exact) {
  const out = new Float64Array(forest.count), fits = new Map();
  forest.strings.forEach((string, id) => {
    const fit = tokenFit(string, word, exact);
    if (fit)
      fits.set(id, fit);
  });
  for (const [id, fit] of fits)
    for (const [g, share] of tokenIndex?.get(id) || [])
      out[g] += fit * share;
  const index = /^\d+$/.test(word) ? +word : -1;
  for (let g = 0; g < forest.count; g++) {
    if (out[g] < MIN_SHARE)
      out[g] = 0;
    for (const id of topTokens(g))
      out[g] = Math.max(out[g], 0.2 * (fits.get(id) || 0));
    const {label, note} = labels.of(g);
    if (label.toLowerCase().includes(word))
      out[g] += 2;
    if (note.toLowerCase().includes(word) || indexOf(g) === index)
      out[g] += 0.5;
  }
  return out;
}

/* The same for all words of the search: those that fit all of them, or any of them where there is none such. Null: no search. */
function relevanceOf(query) {
  const text = query.trim(), named = featureNamed(text), out = new Float64Array(forest.count);
  if (!text)
    return null;
  if (named >= 0) {
    out[named] = 1;
    return out;
  }
  const exact = /^"(.+)"$/.exec(text);
  const words = exact ? [exact[1].toLowerCase()] : text.toLowerCase().split(/\s+/).slice(0, 8);
  const each = words.map(word => wordRelevance(word, Boolean(exact)));
  let all = false;
  for (let g = 0; g < forest.count; g++)
    all ||= each.every(relevance => relevance[g] > 0);
  for (let g = 0; g < forest.count; g++)
    if (!all || each.every(relevance => relevance[g] > 0))
      for (const relevance of each)
        out[g] += relevance[g];
  return out;
}

/* The token index comes with the first search, and fills in what words alone do not find. */
function prepareSearch() {
  if (!wanted.q || tokenIndex) {
    document.body.dataset.search = wanted.q ? 'ready' : '';
    return;
  }
  loadTokenIndex().then(() => {
    document.body.dataset.search = 'ready';
    refreshTree(true);
    picture.draw();
  });
}

/* The feature that fits best; -1: none does. */
function bestMatch() {
  let best = -1;
  for (let g = 0; g < forest.count; g++)
    if (tree.match[g] && (best < 0 || (tree.relevance?.[g] || 0) > (tree.relevance?.[best] || 0)))
      best = g;
  return best;
}

function filterForest() {
  const {count, level, density, childCount, parent} = forest;
  const found = tree.relevance = relevanceOf(wanted.q), best = tree.best = found ? found.slice() : null;
  const number = value => value === null ? null : +value;
  const from = number(wanted.denseFrom), to = number(wanted.denseTo), least = number(wanted.kidsFrom), most = number(wanted.kidsTo);
  const match = tree.match = new Uint8Array(count), show = tree.show = new Uint8Array(count);
  tree.filtered = Boolean(found || wanted.levels || wanted.state || wanted.place || from !== null || to !== null || least !== null || most !== null);
  tree.matches = 0;
  for (let g = count - 1; g >= 0; g--) {
    const kids = childCount[g], share = (density[g] || 0) * 100;
    match[g] = !(wanted.levels && !wanted.levels.includes(level[g]))
      && !(wanted.state && (wanted.state === 'dead') !== isDead(g))
      && !(wanted.place === 'root' && level[g] > 0) && !(wanted.place === 'orphan' && (level[g] === 0 || parent[g] >= 0))
      && !(wanted.place === 'parent' && !kids) && !(wanted.place === 'leaf' && kids)
      && !(from !== null && share < from) && !(to !== null && share > to) && !(least !== null && kids < least) && !(most !== null && kids > most)
      && (!found || found[g] > 0);
    tree.matches += match[g];
    if (match[g])
      show[g] = 1;
    if (best && !match[g] && !childCount[g])
      best[g] = 0;
    if (show[g] && parent[g] >= 0) {
      show[parent[g]] = 1;
      if (best)
        best[parent[g]] = Math.max(best[parent[g]], best[g]);
    }
  }
}

/* Sorted copies; what has no figure comes last. While something is sought, what fits best comes first, and branches by their best. */
function sorted(features) {
  const key = wanted.sort === 'children' ? forest.childCount : wanted.sort === 'index' && tree.relevance ? (view.mode === 'list' ? tree.relevance : tree.best) : forest[wanted.sort];
  const list = Array.from(features);
  if (!key)
    return list;
  const of = g => Number.isNaN(key[g]) ? -Infinity : key[g];
  return list.sort((a, b) => of(b) - of(a) || a - b);
}

const isOpen = row => tree.filtered ? !tree.closed.has(row) : tree.open.has(row);

function buildRows() {
  const rows = tree.rows = [];
  const {show, match} = tree;
  const add = (list, depth) => {
    const seen = list.filter(g => show[g]);
    seen.forEach((g, k) => {
      const kids = childrenOf(g).some(child => show[child]);
      rows.push({id: g, depth, kids, place: k + 1, of: seen.length});
      if (kids && isOpen(g))
        add(sorted(childrenOf(g)), depth + 1);
    });
  };
  if (view.mode === 'list') {
    const all = [];
    for (let g = 0; g < forest.count; g++)
      if (match[g])
        all.push(g);
    sorted(all).forEach((g, k) => rows.push({id: g, depth: 0, kids: false, place: k + 1, of: all.length}));
    return;
  }
  for (let l = 0; l < forest.levels; l++) {
    const tops = [];
    for (let g = forest.base[l]; g < forest.base[l] + forest.index.levels[l].features; g++)
      if (forest.parent[g] < 0 && show[g])
        tops.push(g);
    if (l === 0)
      add(sorted(tops), 0);
    else if (tops.length) {
      rows.push({id: -1 - l, depth: 0, kids: true, count: tops.length});
      if (isOpen(-1 - l))
        add(sorted(tops), 1);
    }
  }
  const headed = rows.filter(row => row.depth === 0);
  headed.forEach((row, k) => { row.place = k + 1; row.of = headed.length; });
}

/* What a row is sorted by. */
function sortValue(g) {
  if (wanted.sort === 'index' || wanted.sort === 'children')
    return '';
  return wanted.sort === 'density' ? percent(forest.density[g]) : number(forest[wanted.sort][g]);
}

function rowElement(row, k) {
  const heading = row.id < 0, g = row.id;
  const expanded = row.kids ? String(isOpen(row.id)) : null;
  const twisty = make('span', {className: 'twisty', 'aria-hidden': 'true', 'data-toggle': '1'}, row.kids ? '\u25b8' : '');
  const element = make('div', {id: 'row-' + k, role: 'treeitem', 'aria-level': row.depth + 1, 'aria-expanded': expanded, 'aria-posinset': row.place, 'aria-setsize': row.of,
    'aria-selected': String(!heading && view.target.kind === 'feature' && view.target.g === g), 'data-row': k, '--depth': String(row.depth)});
  element.style.transform = 'translateY(' + k * ROW + 'px)';
  element.className = 'row' + (k === tree.cursor ? ' cursor' : '');
  if (heading) {
    element.classList.add('heading');
    element.append(twisty, 'Level ' + (-1 - g) + ' without a parent', make('span', {className: 'kids'}, number(row.count)));
    return element;
  }
  element.classList.add(levelClass(forest.level[g]));
  if (tree.filtered && !tree.match[g])
    element.classList.add('faint');
  const kids = forest.childCount[g];
  element.setAttribute('aria-label', nameOf(g) + (saidOf(g) ? ': ' + saidOf(g) : '') + ', ' + plural(kids, 'child', 'children') + ', ' + (isDead(g) ? 'dead' : 'density ' + percent(forest.density[g])));
  element.append(twisty, make('span', {className: 'dot'}), make('span', {className: 'name'}, nameOf(g)), isDead(g) ? make('span', {className: 'dead'}, 'dead') : chips(g),
    sortValue(g) ? make('span', {className: 'value', title: $('sort').selectedOptions[0]?.textContent}, sortValue(g)) : '',
    make('span', {className: 'kids', title: plural(kids, 'child', 'children')}, kids ? number(kids) : ''),
    make('span', {className: 'density', title: 'density ' + percent(forest.density[g]), '--share': String(Math.sqrt(forest.density[g] || 0))}));
  return element;
}

/* Only the rows in sight exist. */
function renderRows() {
  const box = $('tree'), rows = $('rows');
  rows.style.height = Math.max(1, tree.rows.length) * ROW + 'px';
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 6), last = Math.min(tree.rows.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + 6);
  const elements = [];
  for (let k = first; k < last; k++)
    elements.push(rowElement(tree.rows[k], k));
  if (!tree.rows.length)
    elements.push(make('p', {className: 'quiet nothing'}, 'No feature is like that.'));
  rows.replaceChildren(...elements);
  if (tree.cursor >= first && tree.cursor < last)
    box.setAttribute('aria-activedescendant', 'row-' + tree.cursor);
  else
    box.removeAttribute('aria-activedescendant');
}

function scrollToCursor() {
  const box = $('tree'), top = tree.cursor * ROW;
  if (top < box.scrollTop)
    box.scrollTop = top;
  else if (top + ROW > box.scrollTop + box.clientHeight)
    box.scrollTop = top + ROW - box.clientHeight;
}

/* After a change of what is wanted, of the mode, or of what is open. */
function refreshTree(filter) {
  const before = tree.rows[tree.cursor]?.id;
  if (filter) {
    filterForest();
    prepareSearch();
    tree.closed.clear();
  }
  buildRows();
  const again = tree.rows.findIndex(row => row.id === before);
  tree.cursor = again >= 0 ? again : Math.max(0, Math.min(tree.cursor, tree.rows.length - 1));
  if (filter)
    $('tree').scrollTop = 0;
  $('count').textContent = tree.filtered ? number(tree.matches) + ' of ' + plural(forest.count, 'feature') : plural(forest.count, 'feature') + ' on ' + plural(forest.levels, 'level');
  renderRows();
}

/* Opens what hides g and puts the cursor on it. */
function revealInTree(g) {
  if (!tree.show)
    return;
  if (tree.filtered && !tree.show[g])
    return;
  const line = lineage(g), above = line.slice(0, -1);
  if (forest.level[line[0]] > 0)
    above.push(-1 - forest.level[line[0]]);
  for (const row of above) {
    tree.open.add(row);
    tree.closed.delete(row);
  }
  buildRows();
  const at = tree.rows.findIndex(row => row.id === g);
  if (at >= 0) {
    tree.cursor = at;
    const box = $('tree'), top = at * ROW;
    if (top < box.scrollTop || top + ROW > box.scrollTop + box.clientHeight)
      box.scrollTop = Math.max(0, top - box.clientHeight / 3);
  }
  renderRows();
}

function toggleRow(row) {
  const on = isOpen(row.id);
  if (tree.filtered)
    on ? tree.closed.add(row.id) : tree.closed.delete(row.id);
  else
    on ? tree.open.delete(row.id) : tree.open.add(row.id);
  refreshTree(false);
}

function openBranch(row) {
  const stack = [row.id];
  while (stack.length) {
    const g = stack.pop();
    tree.open.add(g);
    tree.closed.delete(g);
    if (g >= 0)
      stack.push(...childrenOf(g));
  }
  refreshTree(false);
}

function moveCursor(to) {
  tree.cursor = Math.max(0, Math.min(tree.rows.length - 1, to));
  scrollToCursor();
  renderRows();
  const row = tree.rows[tree.cursor];
  if (row && row.id >= 0 && !isNarrow())
    previewFeature(row.id);
}

function treeKey(event) {
  const row = tree.rows[tree.cursor], page = Math.max(1, Math.floor($('tree').clientHeight / ROW) - 1);
  if (!row || event.ctrlKey || event.altKey || event.metaKey)
    return;
  const up = () => {
    for (let k = tree.cursor - 1; k >= 0; k--)
      if (tree.rows[k].depth < row.depth)
        return k;
    return tree.cursor;
  };
  const keys = {
    ArrowDown: () => moveCursor(tree.cursor + 1),
    ArrowUp: () => moveCursor(tree.cursor - 1),
    PageDown: () => moveCursor(tree.cursor + page),
    PageUp: () => moveCursor(tree.cursor - page),
    Home: () => moveCursor(0),
    End: () => moveCursor(tree.rows.length - 1),
    ArrowRight: () => row.kids && !isOpen(row.id) ? toggleRow(row) : row.kids && moveCursor(tree.cursor + 1),
    ArrowLeft: () => row.kids && isOpen(row.id) ? toggleRow(row) : moveCursor(up()),
    '*': () => row.kids && openBranch(row),
    Enter: () => row.id >= 0 ? go({kind: 'feature', g: row.id}) : toggleRow(row),
    ' ': () => row.id >= 0 ? go({kind: 'feature', g: row.id}) : toggleRow(row),
  };
  if (Object.hasOwn(keys, event.key)) {
    event.preventDefault();
    keys[event.key]();
  }
}

function startTree() {
  const box = $('tree');
  let waiting = false;
  box.addEventListener('scroll', () => {
    if (!waiting)
      requestAnimationFrame(() => { waiting = false; renderRows(); });
    waiting = true;
  });
  box.addEventListener('keydown', treeKey);
  box.addEventListener('click', event => {
    const element = event.target.closest('.row');
    if (!element)
      return;
    tree.cursor = +element.dataset.row;
    const row = tree.rows[tree.cursor];
    if (row.id < 0 || event.target.closest('[data-toggle]') && row.kids)
      toggleRow(row);
    else
      go({kind: 'feature', g: row.id});
  });
  box.addEventListener('dblclick', event => {
    const row = tree.rows[event.target.closest('.row')?.dataset.row];
    if (row?.kids && row.id >= 0)
      toggleRow(row);
  });
  new ResizeObserver(renderRows).observe(box);
}
