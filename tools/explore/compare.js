/* SPDX-License-Identifier: MIT */
/* Two features side by side. */

/* The feature that waits for another one to be compared with; -1: none. */
const compare = {with: -1};

function compareButton(g) {
  const other = compare.with;
  const button = make('button', {type: 'button', className: 'compare', onclick: () => {
    if (other >= 0 && other !== g) {
      compare.with = -1;
      go({kind: 'pair', features: [other, g]});
    } else {
      compare.with = g;
      button.textContent = 'Open the other one';
    }
  }}, other >= 0 && other !== g ? 'Compare with ' + nameOf(other) : 'Compare');
  return button;
}

async function compareColumn(g) {
  const {contexts} = await detailsOf(g), shown = contexts.filter(context => context[3] === null).slice(0, 6);
  return make('section', {className: 'compared ' + levelClass(forest.level[g]), 'aria-label': 'Feature ' + nameOf(g)}, make('h3', {}, featureLink(g, labelOf(g) ? make('bdi', {className: 'label'}, visible(labelOf(g))) : null)), wordChips(g, 8),
    make('dl', {className: 'figures'}, figure('density', percent(forest.density[g]), MEANINGS.density), figure('mean', number(forest.mean[g]), MEANINGS.mean), figure('children', number(forest.childCount[g]), '')),
    make('ol', {className: 'contexts'}, ...await Promise.all(shown.map(context => contextElement(g, context)))));
}

/* What two features share: words, and their place in the tree. */
async function kinship([a, b]) {
  const lineA = lineage(a), lineB = lineage(b), common = lineA.filter(g => lineB.includes(g)), words = topTokens(a).filter(id => topTokens(b).includes(id));
  const together = (await detailsOf(a)).siblings.find(([i]) => forest.base[forest.level[a]] + i === b);
  const facts = [common.length ? ['Nearest common ancestor', featureLink(common.at(-1), chips(common.at(-1), 3))] : ['Tree', 'They are in different trees.'],
    words.length ? ['Words of both', make('span', {className: 'chips'}, ...words.map(id => make('bdi', {className: 'chip'}, wordText(id))))] : null,
    together && forest.level[a] === forest.level[b] ? ['Siblings', 'The second is active on ' + percent(together[1]) + ' of the first one\u2019s tokens.'] : null].filter(Boolean);
  return make('dl', {className: 'facts'}, ...facts.flatMap(([key, value]) => [make('dt', {}, key), make('dd', {}, value)]));
}

async function showPair(features) {
  const columns = await Promise.all(features.map(compareColumn)), kin = await kinship(features);
  if (view.target.kind !== 'pair' || view.target.features !== features)
    return;
  const card = $('card');
  card.className = 'pair';
  card.setAttribute('aria-label', 'Two features');
  card.replaceChildren(backButton(), make('div', {className: 'title'}, make('h2', {}, 'Side by side'), copyButton('Copy link', () => location.href)), kin, make('div', {className: 'pair-columns'}, ...columns));
  card.scrollTop = 0;
}
