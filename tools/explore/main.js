/* SPDX-License-Identifier: MIT */
/* The page's state is its address: #TARGET?VIEW, where TARGET is l2/1234 (a feature), t/4711 (a token's path), find (q in the text), labels,
 * list/l0/1,l2/3 (these features), pair/l0/1,l2/3 (side by side), about, live (type a text), start (the overview on a narrow screen) or nothing. */

const view = {target: {kind: 'home'}, mode: 'tree'};
const opened = {script: performance.now(), ready: 0};
const isNarrow = () => matchMedia('(max-width: 760px)').matches;
const FILTERS = [['levels', 'level'], ['state', 'state'], ['place', 'place'], ['denseFrom', 'dense-from'], ['denseTo', 'dense-to'], ['kidsFrom', 'kids-from'], ['kidsTo', 'kids-to']];

function targetText(target) {
  return {feature: () => nameOf(target.g), token: () => 't/' + target.position, list: () => 'list/' + target.features.map(nameOf).join(','), pair: () => 'pair/' + target.features.map(nameOf).join(','), about: () => 'about', find: () => 'find', labels: () => 'labels', live: () => 'live', start: () => 'start', home: () => ''}[target.kind]();
}

function linkTo(target) {
  const query = new URLSearchParams();
  if (view.mode !== 'tree')
    query.set('view', view.mode);
  if (wanted.q)
    query.set('q', wanted.q);
  if (wanted.sort !== 'index')
    query.set('sort', wanted.sort);
  for (const [key, name] of FILTERS)
    if (wanted[key] !== null && wanted[key] !== '')
      query.set(name, String(wanted[key]));
  if (target.kind === 'token' && target.from >= 0)
    query.set('from', nameOf(target.from));
  const text = String(query).replaceAll('%2F', '/').replaceAll('%2C', ',');
  return '#' + targetText(target) + (text ? '?' + text : '');
}

/* The target an address names; home where it names nothing that exists. */
function parseTarget(text, query) {
  const g = featureNamed(text), token = /^t\/(\d{1,15})$/.exec(text);
  if (g >= 0)
    return {kind: 'feature', g};
  if (token)
    return {kind: 'token', position: +token[1], from: featureNamed(query.get('from') || '')};
  if (text.startsWith('list/'))
    return {kind: 'list', features: [...new Set(text.slice(5).split(',').map(featureNamed))].filter(at => at >= 0)};
  const two = text.startsWith('pair/') ? text.slice(5).split(',').map(featureNamed) : [];
  if (two.length === 2 && two[0] >= 0 && two[1] >= 0)
    return {kind: 'pair', features: two};
  return {kind: ['about', 'find', 'labels', 'start'].includes(text) || text === 'live' && live.address ? text : 'home'};
}

/* Follows the address. */
function readAddress(first) {
  const [text, rest] = location.hash.slice(1).split(/\?(.*)/s), query = new URLSearchParams(rest || '');
  const before = JSON.stringify([wanted, view.mode]);
  view.mode = ['list', 'picture'].includes(query.get('view')) ? query.get('view') : 'tree';
  wanted.q = query.get('q') || '';
  wanted.sort = [...$('sort').options].some(option => option.value === query.get('sort')) ? query.get('sort') : 'index';
  for (const [key, name] of FILTERS)
    wanted[key] = query.get(name) ?? (['state', 'place'].includes(key) ? '' : null);
  const levels = wanted.levels === null ? null : wanted.levels.split(',').map(Number).filter(l => l >= 0 && l < forest.levels);
  wanted.levels = levels && levels.length ? levels : null;
  for (const key of ['denseFrom', 'denseTo', 'kidsFrom', 'kidsTo'])
    if (wanted[key] !== null && !(+wanted[key] >= 0))
      wanted[key] = null;
  view.target = parseTarget(text, query);
  showControls();
  if (first || before !== JSON.stringify([wanted, view.mode]))
    refreshTree(true);
  showTarget(first);
}

/* The controls say what the address says. */
function showControls() {
  if ($('q').value !== wanted.q)
    $('q').value = wanted.q;
  $('sort').value = wanted.sort;
  $('state').value = wanted.state;
  $('place').value = wanted.place;
  for (const [key, name] of FILTERS.slice(3))
    if (wanted[key] === null || +$(name).value !== +wanted[key])
      $(name).value = wanted[key] ?? '';
  for (const box of $('levels').querySelectorAll('input'))
    box.checked = !wanted.levels || wanted.levels.includes(+box.value);
  for (const button of document.querySelectorAll('[data-view]'))
    button.setAttribute('aria-pressed', String(button.dataset.view === view.mode));
  $('tree').hidden = view.mode === 'picture';
  $('picture').hidden = view.mode !== 'picture';
  const filters = FILTERS.filter(([key]) => wanted[key] !== null && wanted[key] !== '').length;
  $('filter').textContent = 'Filter' + (filters ? ' (' + filters + ')' : '');
  $('find').hidden = !wanted.q || view.target.kind === 'find';
  $('find').href = linkTo({kind: 'find'});
  document.body.dataset.view = view.mode;
  document.body.dataset.target = view.target.kind;
  $('to-about').setAttribute('aria-pressed', String(view.target.kind === 'about'));
  $('to-labels').setAttribute('aria-pressed', String(view.target.kind === 'labels'));
  $('to-live').setAttribute('aria-pressed', String(view.target.kind === 'live'));
}

async function showTarget(first) {
  const {target} = view;
  document.title = (['home', 'start'].includes(target.kind) ? '' : targetText(target) + ' \u00b7 ') + (forest.index.title || 'Forest of features');
  hideTip();
  if (target.kind === 'feature')
    revealInTree(target.g);
  else
    renderRows();
  if (view.mode === 'picture')
    picture.follow(first);
  if (target.kind === 'feature')
    await showFeature(target.g);
  else if (target.kind === 'token')
    await showPath(target.position, target.from);
  else if (target.kind === 'find')
    await showFound(wanted.q);
  else if (target.kind === 'labels')
    showLabels();
  else if (target.kind === 'live')
    showLive();
  else if (target.kind === 'list')
    showList(target.features);
  else if (target.kind === 'pair')
    await showPair(target.features);
  else if (target.kind === 'about')
    showAbout();
  else
    showHome();
  document.body.dataset.shown = targetText(target);
}

/* Goes to a target: a new entry of the history, or the same one. */
function go(target, replace) {
  const link = linkTo(target);
  if (link === (location.hash || '#'))
    return;
  const fromCard = isNarrow() || $('card').contains(document.activeElement);
  const step = document.activeElement?.dataset.step;
  history[replace ? 'replaceState' : 'pushState'](null, '', link);
  readAddress(false);
  /* Whoever was in the card stays in it. */
  if (fromCard && target.kind !== 'home')
    setTimeout(() => ($('card').querySelector(`[data-step="${step === '-1' ? -1 : step === '1' ? 1 : 0}"]:enabled`) || $('card')).focus({preventScroll: true}), 30);
}

let previewing = 0;

/* The card follows the cursor, a moment later, without filling the history. */
function previewFeature(g) {
  clearTimeout(previewing);
  previewing = setTimeout(() => {
    if (view.target.kind === 'feature' && view.target.g === g)
      return;
    history.replaceState(null, '', linkTo({kind: 'feature', g}));
    view.target = {kind: 'feature', g};
    showControls();
    renderRows();
    showTarget(false);
  }, 90);
}

function setMode(mode) {
  view.mode = mode;
  history.pushState(null, '', linkTo(view.target));
  showControls();
  refreshTree(false);
  if (view.target.kind === 'feature')
    revealInTree(view.target.g);
  if (mode === 'picture')
    picture.follow(true);
}

/* After a filter, the sort or the search changed. */
function wantedChanged() {
  history.replaceState(null, '', linkTo(view.target));
  showControls();
  refreshTree(true);
  picture.draw();
  if (view.target.kind === 'find')
    showTarget(false);
}

function readFilters() {
  const boxes = [...$('levels').querySelectorAll('input')], on = boxes.filter(box => box.checked);
  wanted.levels = on.length === boxes.length || !on.length ? null : on.map(box => +box.value);
  wanted.state = $('state').value;
  wanted.place = $('place').value;
  for (const [key, name] of FILTERS.slice(3))
    wanted[key] = $(name).value === '' ? null : $(name).value;
  wantedChanged();
}

function startControls() {
  forest.index.levels.forEach((level, l) => $('levels').append(make('label', {className: levelClass(l)}, make('input', {type: 'checkbox', value: String(l), checked: true}),
    make('span', {className: 'dot', 'aria-hidden': 'true'}), String(l))));
  for (const button of document.querySelectorAll('[data-view]'))
    button.addEventListener('click', () => setMode(button.dataset.view));
  let typing = 0;
  $('q').addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => { wanted.q = $('q').value.trim(); wantedChanged(); }, 120);
  });
  $('q').addEventListener('keydown', event => {
    if (event.key === 'Enter' && $('q').value.trim()) {
      event.preventDefault();
      clearTimeout(typing);
      wanted.q = $('q').value.trim();
      (tokenIndex ? Promise.resolve() : loadTokenIndex()).then(() => {
        wantedChanged();
        if (bestMatch() >= 0)
          go({kind: 'feature', g: bestMatch()});
      });
    } else if (event.key === 'ArrowDown' || event.key === 'Enter') {
      event.preventDefault();
      (view.mode === 'picture' ? $('canvases') : $('tree')).focus();
    }
  });
  $('sort').addEventListener('change', () => { wanted.sort = $('sort').value; wantedChanged(); });
  $('filter').addEventListener('click', () => {
    $('filters').hidden = !$('filters').hidden;
    $('filter').setAttribute('aria-expanded', String(!$('filters').hidden));
  });
  $('filters').addEventListener('input', readFilters);
  $('filters').addEventListener('submit', event => event.preventDefault());
  $('filters').addEventListener('reset', () => setTimeout(() => {
    for (const box of $('levels').querySelectorAll('input'))
      box.checked = true;
    readFilters();
  }));
  $('home').addEventListener('click', event => { event.preventDefault(); go({kind: 'home'}); });
  $('to-about').addEventListener('click', () => go({kind: view.target.kind === 'about' ? 'home' : 'about'}));
  $('to-labels').addEventListener('click', () => go({kind: view.target.kind === 'labels' ? 'home' : 'labels'}));
  $('to-live').hidden = !live.address;
  $('to-live').addEventListener('click', () => go({kind: view.target.kind === 'live' ? 'home' : 'live'}));
  $('to-help').addEventListener('click', () => $('help').showModal());
}

function escape() {
  if (!$('tip').hidden)
    hideTip();
  else if (document.activeElement === $('q')) {
    $('q').value = '';
    wanted.q = '';
    wantedChanged();
    $('q').blur();
  } else if (!$('filters').hidden)
    $('filter').click();
  else if (view.target.kind !== 'home')
    go({kind: 'home'});
}

function startKeys() {
  document.addEventListener('keydown', event => {
    if (event.ctrlKey || event.altKey || event.metaKey || $('help').open)
      return;
    if (event.key === 'Escape')
      return escape();
    if (event.target.matches('input, select, textarea'))
      return;
    const keys = {
      '/': () => $('q').select(),
      '?': () => $('help').showModal(),
      t: () => setMode('tree'),
      l: () => setMode('list'),
      p: () => setMode('picture'),
      d: () => theme.set(theme.isDark() ? 'light' : 'dark'),
      n: () => labelKeys('n'),
      b: () => labelKeys('b'),
      u: () => view.target.kind === 'feature' && forest.parent[view.target.g] >= 0 && go({kind: 'feature', g: forest.parent[view.target.g]}),
      '[': () => document.querySelector('[data-step="-1"]')?.click(),
      ']': () => document.querySelector('[data-step="1"]')?.click(),
    };
    if (Object.hasOwn(keys, event.key)) {
      event.preventDefault();
      keys[event.key]();
    }
  });
}

async function start() {
  opened.parsed = performance.now();
  try {
    await openForest();
    await labels.open();
  } catch (error) {
    $('card').replaceChildren(make('h2', {}, 'The forest does not open'), make('p', {}, error.message));
    document.body.dataset.shown = 'error';
    return;
  }
  opened.index = performance.now();
  $('title').textContent = forest.index.title || 'Forest';
  startControls();
  startKeys();
  startTree();
  startTokens();
  picture.start();
  theme.start();
  if (labels.edges.size)
    $('colour').append(make('option', {value: 'judge'}, 'judge\u2019s score'));
  addEventListener('popstate', () => readAddress(false));
  if (isNarrow() && location.hash.length < 2)
    history.replaceState(null, '', '#start');
  readAddress(true);
  labels.changed();
  requestAnimationFrame(() => requestAnimationFrame(() => {
    opened.ready = performance.now();
    document.body.dataset.ready = JSON.stringify(opened);
  }));
}

if (document.readyState === 'loading')
  document.addEventListener('DOMContentLoaded', start);
else
  start();
