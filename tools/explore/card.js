/* SPDX-License-Identifier: MIT */
/* A feature's card: its figures, its family, the contexts it fires in. */

const MEANINGS = {
  density: 'Share of the tokens on which the feature is active',
  mean: 'Mean activation over the tokens on which it is active',
  max: 'Largest activation, outliers included',
  high: '99 % of its activations are at most this strong, outliers left out; the text is coloured up to here',
  p_parent: 'P(p|c): of the tokens on which this feature is active, the share on which its parent is active, too',
  p_child: 'P(c|p): of the tokens on which its parent is active, the share on which this feature is active',
  cosine: 'Cosine of the two decoder rows',
  logits: 'What one unit of activation adds to a token\u2019s logit by the direct path, beside the mean over all tokens',
  siblings: 'Share of this feature\u2019s tokens on which the sibling is active, too',
};

function figure(label, value, meaning) {
  return make('div', {className: 'figure', title: meaning}, make('dt', {}, label), make('dd', {}, value));
}

function breadcrumb(g) {
  const line = lineage(g);
  return make('nav', {className: 'crumbs', 'aria-label': 'Ancestors'}, make('ol', {}, ...line.map(at => at === g
    ? make('li', {'aria-current': 'true', className: 'feature ' + levelClass(forest.level[at])}, make('span', {className: 'dot', 'aria-hidden': 'true'}), nameOf(at))
    : make('li', {}, featureLink(at, chips(at, 1))))));
}

/* One line of a family: link, tokens, two shares. */
function relativeRow(g, cells) {
  return make('li', {className: 'relative'}, featureLink(g, isDead(g) ? make('span', {className: 'dead'}, 'dead') : chips(g, 4)), ...cells);
}

/* A list that shows its first few, with a button for the rest. */
function longList(features, row, few = 8) {
  const list = make('ul', {className: 'family'}, ...features.slice(0, few).map(row));
  if (features.length <= few)
    return list;
  const rest = make('button', {type: 'button', className: 'more', onclick: () => {
    list.append(...features.slice(few).map(row));
    list.children[few].querySelector('a').focus();
    rest.remove();
  }}, 'Show all ' + number(features.length));
  return make('div', {}, list, rest);
}

const both = g => [meter(forest.p_parent[g], MEANINGS.p_parent), meter(forest.p_child[g], MEANINGS.p_child)];

/* What a judge says of the edge above a feature, coloured from red to green. */
function judgement(g) {
  const score = labels.edges.get(g);
  return make('span', {className: 'judgement', title: 'A judge\u2019s score of parent and child', '--share': String(score ?? 0)}, score === undefined ? '\u2013' : number(score));
}

function familySection(g, siblings) {
  const section = make('section', {}, make('h3', {}, 'Family'));
  const head = (title, ...columns) => make('div', {className: 'family-head'}, make('h4', {}, title), ...columns.map(text => make('span', {className: 'meter-head'}, text)));
  const parent = forest.parent[g], children = Array.from(childrenOf(g)).sort((a, b) => (forest.p_child[b] || 0) - (forest.p_child[a] || 0));
  const judged = children.some(child => labels.edges.has(child));
  if (parent >= 0)
    section.append(head('Parent', ...labels.edges.has(g) ? ['judge'] : []), make('ul', {className: 'family'}, relativeRow(parent, labels.edges.has(g) ? [judgement(g)] : [])));
  else if (forest.level[g] > 0)
    section.append(make('p', {className: 'quiet'}, 'No parent: the tree leaves the least similar features of a level out.'));
  if (children.length)
    section.append(head(plural(children.length, 'child', 'children'), ...judged ? ['judge'] : [], 'P(p|c)', 'P(c|p)'), longList(children, child => relativeRow(child, [judged ? judgement(child) : null, ...both(child)].filter(Boolean))));
  else if (forest.level[g] + 1 < forest.levels)
    section.append(make('p', {className: 'quiet'}, 'No children.'));
  const all = parent >= 0 ? childrenOf(parent).length - 1 : 0;
  if (all > 0) {
    section.append(head(plural(all, 'sibling'), 'together'));
    if (siblings.length)
      section.append(longList(siblings, ([i, share]) => relativeRow(forest.base[forest.level[g]] + i, [meter(share, MEANINGS.siblings)])));
    const rest = Array.from(childrenOf(parent)).filter(other => other !== g && !siblings.some(([i]) => forest.base[forest.level[g]] + i === other));
    if (rest.length)
      section.append(make('details', {}, make('summary', {}, siblings.length ? plural(rest.length, 'other') : 'Never active together with this one'),
        longList(rest, other => relativeRow(other, []))));
  }
  return section;
}

/* A window's text, coloured by a feature's activations: spans that say their value and lead to the path view. */
function coloured(ids, start, values, g, peak) {
  const at = new Map(values), full = fullOf(g);
  const text = make('p', {className: 'text ' + levelClass(forest.level[g]), role: 'group', 'aria-label': 'Text coloured by ' + nameOf(g)});
  ids.forEach((id, offset) => {
    const value = at.get(offset);
    const token = make('bdi', {className: 'token' + (value ? ' lit' : '') + (offset === peak ? ' peak' : '') + (/^ ?\u23ce+$/.test(tokenText(id)) ? ' break' : ''),
      'data-position': start + offset, 'data-feature': nameOf(g), role: 'link', tabindex: offset === Math.max(0, peak) ? '0' : '-1',
      'aria-label': tokenText(id) + ', ' + (value ? 'activation ' + number(value) : 'not active')}, tokenText(id));
    if (value) {
      token.style.setProperty('--heat', (8 + 56 * Math.min(1, value / full)).toFixed(1) + '%');
      token.dataset.value = number(value);
    }
    text.append(token);
  });
  return text;
}

/* What the page knows of a feature's activations in a window: [[offset, value]..] and at how many tokens it may be active, but weaker than
 * the ones kept of its level. Sources: the strongest features of each token, and the feature's own contexts where they overlap. */
async function knownValues(g, start, paths) {
  const values = new Map(), known = paths.map(path => path && !path.more[forest.level[g]]);
  paths.forEach((path, offset) => {
    const entry = path && path.levels[forest.level[g]].find(one => one.g === g);
    if (entry)
      values.set(offset, entry.value);
  });
  for (const [first, length, , , flat] of (await detailsOf(g)).contexts) {
    for (let at = Math.max(first, start); at < Math.min(first + length, start + paths.length); at++)
      known[at - start] = true;
    for (const [offset, value] of pairs(flat))
      if (first + offset >= start && first + offset < start + paths.length)
        values.set(first + offset - start, value);
  }
  return {values: [...values].sort((a, b) => a[0] - b[0]), unknown: known.filter((sure, offset) => !sure && !values.has(offset)).length};
}

/* Ancestors and active children of g in a window: Map of g to {values, unknown}. */
async function relativesIn(g, [start, length, , , , relatives]) {
  const found = new Map();
  if (relatives) {
    for (const [level, i, flat] of relatives)
      found.set(featureAt(level, i), {values: pairs(flat), unknown: 0});
    return found;
  }
  const paths = await Promise.all(Array.from({length}, (_, offset) => pathOf(start + offset)));
  const here = new Set(paths.flatMap(path => path ? path.levels.flat().map(one => one.g) : []));
  for (const at of [...lineage(g).slice(0, -1), ...childrenOf(g).filter(child => here.has(child))])
    found.set(at, await knownValues(at, start, paths));
  return found;
}

/* The same window for every feature of the branch: ancestors, this one, children. */
async function branchRows(g, context, ids) {
  const start = context[0], found = await relativesIn(g, context);
  const valuesOf = at => at === g ? pairs(context[4]) : found.get(at)?.values || [];
  const strongest = at => Math.max(0, ...valuesOf(at).map(([, value]) => value));
  const children = Array.from(childrenOf(g)).filter(child => valuesOf(child).length).sort((a, b) => strongest(b) - strongest(a));
  const rows = [...lineage(g), ...children].map(at => {
    const shown = valuesOf(at), peak = shown.reduce((best, entry) => entry[1] > best[1] ? entry : best, [-1, 0])[0];
    const head = at === g ? make('strong', {className: 'feature ' + levelClass(forest.level[at])}, make('span', {className: 'dot'}), nameOf(at)) : featureLink(at);
    return make('div', {className: 'branch-row', '--depth': String(forest.level[at])}, head,
      shown.length ? coloured(ids, start, shown, at, peak) : make('p', {className: 'quiet'}, found.get(at)?.unknown ? 'not among the strongest here' : 'not active in this window'));
  });
  const silent = forest.childCount[g] && !children.length, weak = !context[5] && [...found.values()].some(({unknown}) => unknown);
  const notes = [silent ? 'None of its children is ' + (context[5] ? 'active here.' : 'among the strongest here.') : '', weak ? 'Only the strongest features of each token are kept: weaker activations are missing here.' : ''].filter(Boolean);
  return notes.length ? [...rows, make('p', {className: 'quiet'}, notes.join(' '))] : rows;
}

const WIDER = 64;

/* The text around a context, as far as the page keeps it. */
async function wideText(g, [start, length, peak, , flat]) {
  const run = await runAt(start), first = Math.max(run.first, start - WIDER), last = Math.min(run.first + run.ids.length, start + length + WIDER);
  const paths = await Promise.all(Array.from({length: last - first}, (_, offset) => pathOf(first + offset)));
  const {values} = await knownValues(g, first, paths), known = new Map(values);
  for (const [offset, value] of pairs(flat))
    known.set(start - first + offset, value);
  return coloured(run.ids.slice(first - run.first, last - run.first), first, [...known], g, start - first + peak);
}

async function contextElement(g, context) {
  const [start, length, peak, , values] = context;
  const ids = await windowIds(start, length), rows = make('div', {className: 'branch', hidden: true});
  const button = make('button', {type: 'button', className: 'all-levels', 'aria-expanded': 'false', onclick: async () => {
    const on = rows.hidden;
    if (on && !rows.children.length)
      rows.append(...await branchRows(g, context, ids));
    rows.hidden = !on;
    button.setAttribute('aria-expanded', String(on));
  }}, 'All levels');
  const text = coloured(ids, start, pairs(values), g, peak);
  const more = make('button', {type: 'button', className: 'more-text', 'aria-expanded': 'false', onclick: async () => {
    const on = more.getAttribute('aria-expanded') === 'false', current = more.parentElement.querySelector('.text');
    current.replaceWith(on ? await wideText(g, context) : text);
    more.setAttribute('aria-expanded', String(on));
    more.textContent = on ? 'Less' : 'More';
  }}, 'More');
  const most = values.length ? pairs(values).find(([offset]) => offset === peak)?.[1] : undefined;
  return make('li', {className: 'context'}, make('div', {className: 'context-line'}, make('span', {className: 'strength', title: 'activation at the peak'}, number(most)),
    text, more, forest.levels > 1 ? button : null), rows);
}

async function contextSections(g, contexts) {
  if (!contexts.length)
    return [make('p', {className: 'quiet'}, isDead(g) ? 'This feature is never active on these data.' : forest.peak[g] > 0 ? 'No context was kept.' : 'It is active on outliers alone: tokens whose vectors are far longer than the others.')];
  const elements = await Promise.all(contexts.map(context => contextElement(g, context)));
  const strongest = elements.filter((_, k) => contexts[k][3] === null), sampled = elements.filter((_, k) => contexts[k][3] !== null);
  elements.forEach((element, k) => {
    if (contexts[k][3] !== null)
      element.querySelector('.strength').after(make('span', {className: 'quantile', title: 'share of its activations that are at most this strong'}, 'q ' + number(contexts[k][3])));
  });
  const part = (title, list) => list.length ? make('section', {}, make('h3', {}, title), make('ol', {className: 'contexts'}, ...list)) : null;
  return [part('Strongest contexts', strongest), part('From strong to weak', sampled)].filter(Boolean);
}

/* Features with a like direction that are no relatives; null where the page was made without them. */
async function neighbourSection(g) {
  const flat = (await load('neighbours-' + forest.level[g]))?.neighbours[indexOf(g)] || [], rows = [];
  for (let k = 0; k + 2 < flat.length; k += 3)
    if (featureAt(flat[k], flat[k + 1]) >= 0)
      rows.push(relativeRow(featureAt(flat[k], flat[k + 1]), [meter(flat[k + 2], MEANINGS.cosine)]));
  return rows.length ? make('section', {className: 'neighbours'}, make('h3', {}, 'Neighbours'), make('div', {className: 'family-head'}, make('h4', {}, 'Like directions outside the family'), make('span', {className: 'meter-head'}, 'cosine')),
    make('ul', {className: 'family'}, ...rows)) : null;
}

/* Tokens of the language model that a feature makes likelier or less likely; null where the page was made without them. */
async function logitSection(g) {
  const found = (await load('logits-' + forest.level[g]))?.logits[indexOf(g)];
  const row = (title, flat) => make('div', {className: 'logits'}, make('h4', {}, title), make('span', {className: 'chips'},
    ...pairs(flat).map(([token, value]) => make('bdi', {className: 'chip', title: 'logit ' + number(value)}, visible(token).trim() || visible(token)))));
  return found ? make('section', {title: MEANINGS.logits}, make('h3', {}, 'Logits'), row('Promotes', found[0]), row('Suppresses', found[1])) : null;
}

async function showFeature(g) {
  const details = await detailsOf(g), neighbours = await neighbourSection(g), logits = await logitSection(g);
  if (view.target.kind !== 'feature' || view.target.g !== g)
    return;
  const copy = copyButton('Copy link', () => location.href);
  copy.setAttribute('aria-label', 'Copy a link to ' + nameOf(g));
  const hasParent = forest.parent[g] >= 0;
  const figures = make('dl', {className: 'figures'}, figure('density', percent(forest.density[g]), MEANINGS.density), figure('mean', number(forest.mean[g]), MEANINGS.mean),
    figure('99 %', number(forest.high[g]), MEANINGS.high), figure('max', number(forest.max[g]), MEANINGS.max), hasParent ? figure('P(p|c)', number(forest.p_parent[g]), MEANINGS.p_parent) : null,
    hasParent ? figure('P(c|p)', number(forest.p_child[g]), MEANINGS.p_child) : null, figure('children', number(forest.childCount[g]), 'Features of the next level that have it as their parent'));
  const contexts = await contextSections(g, details.contexts);
  if (view.target.kind !== 'feature' || view.target.g !== g)
    return;
  const card = $('card');
  card.className = levelClass(forest.level[g]);
  card.setAttribute('aria-label', 'Feature ' + nameOf(g));
  card.replaceChildren(backButton(), breadcrumb(g),
    make('div', {className: 'title'}, make('h2', {}, make('span', {className: 'dot', 'aria-hidden': 'true'}), nameOf(g), labelOf(g) ? make('bdi', {className: 'label'}, visible(labelOf(g))) : null), isDead(g) ? make('span', {className: 'dead'}, 'dead') : wordChips(g), ...labelButtons(g), compareButton(g), make('button', {type: 'button', className: 'save-figure', title: 'The tree under it as SVG, 5.5 inches wide', onclick: () => saveFigure(g)}, 'Save figure'), copy),
    labels.of(g).note ? make('p', {className: 'note'}, make('bdi', {}, visibleText(labels.of(g).note))) : '',
    make('p', {className: 'quiet'}, 'Level ' + forest.level[g] + ', feature ' + number(indexOf(g)) + ' of ' + number(forest.index.levels[forest.level[g]].features)),
    figures, details.histogram.length ? histogramPicture(details.histogram, forest.peak[g]) : '',
    make('div', {className: 'columns'}, make('div', {}, familySection(g, details.siblings), neighbours || '', logits || ''), make('div', {className: 'all-contexts'}, typedSection(g) || '', ...contexts)));
  card.scrollTop = 0;
}

/* On a narrow screen the card covers the tree. */
function backButton() {
  return make('button', {type: 'button', className: 'back', onclick: () => go({kind: 'home'})}, '\u2039 Forest');
}

/* Tokens anywhere: what they say, and where they lead. */
function startTokens() {
  let touched = null;
  const tell = token => {
    const box = token.getBoundingClientRect(), value = token.dataset.value;
    showTip([make('bdi', {}, token.textContent), value ? 'activation ' + value : token.dataset.value === undefined && token.dataset.feature ? 'not active' : 'path'], box.left + box.width / 2, box.top);
  };
  const open = token => go({kind: 'token', position: +token.dataset.position, from: token.dataset.feature ? featureNamed(token.dataset.feature) : view.target.from});
  document.addEventListener('pointerover', event => {
    const token = event.target.closest?.('.token');
    if (token)
      tell(token);
    else if (!event.target.closest?.('#canvases'))
      hideTip();
  });
  document.addEventListener('focusin', event => event.target.matches('.token') ? tell(event.target) : hideTip());
  document.addEventListener('scroll', hideTip, true);
  $('card').addEventListener('click', event => {
    const token = event.target.closest('.token');
    if (!token)
      return;
    /* A first tap shows the value, as there is no hovering. */
    if (event.pointerType === 'touch' && touched !== token) {
      touched = token;
      tell(token);
    } else
      open(token);
  });
  $('card').addEventListener('keydown', event => {
    const token = event.target.closest('.token');
    if (!token)
      return;
    const to = {ArrowRight: token.nextElementSibling, ArrowLeft: token.previousElementSibling, Home: token.parentElement.firstElementChild, End: token.parentElement.lastElementChild}[event.key];
    if (to) {
      token.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
    } else if (event.key === 'Enter')
      open(token);
    else
      return;
    event.preventDefault();
  });
}
