/* SPDX-License-Identifier: MIT */
/* Basics of accessibility on the page as it is now: a list of faults. Evaluated by test_page.py. */
(() => {
  const faults = [];
  const seen = element => element.checkVisibility({opacityProperty: true, visibilityProperty: true}) && element.getClientRects().length > 0;
  const say = (text, element) => faults.push(text + ': ' + element.outerHTML.slice(0, 120));

  if (!document.documentElement.lang)
    faults.push('no lang');
  if (!document.title)
    faults.push('no title');
  const ids = new Map();
  for (const element of document.querySelectorAll('[id]'))
    ids.set(element.id, (ids.get(element.id) || 0) + 1);
  for (const [id, count] of ids)
    if (count > 1)
      faults.push('id twice: ' + id);
  for (const element of document.querySelectorAll('[aria-controls], [aria-labelledby], [aria-describedby], [aria-activedescendant]'))
    for (const attribute of ['aria-controls', 'aria-labelledby', 'aria-describedby', 'aria-activedescendant'])
      if (element.hasAttribute(attribute) && !document.getElementById(element.getAttribute(attribute)))
        say(attribute + ' names nothing', element);

  const nameOf = element => element.getAttribute('aria-label') || (element.labels && [...element.labels].map(label => label.textContent).join('').trim()) || element.textContent.trim() || element.title;
  for (const element of document.querySelectorAll('button, a[href], input, select, summary, [tabindex], [role=link], [role=treeitem], [role=img]'))
    if (seen(element) && !nameOf(element))
      say('no name', element);
  for (const element of document.querySelectorAll('button, select, input:not([type=checkbox])')) {
    const box = element.getBoundingClientRect();
    if (seen(element) && (box.width < 24 || box.height < 24))
      say('smaller than 24 by 24', element);
  }
  for (const tree of document.querySelectorAll('[role=tree]'))
    for (const item of tree.querySelectorAll('[role=treeitem]'))
      if (!(+item.getAttribute('aria-posinset') <= +item.getAttribute('aria-setsize')) || !(+item.getAttribute('aria-level') >= 1))
        say('place in the tree', item);
  if (document.querySelectorAll('h1').length !== 1)
    faults.push('not one h1');
  for (const image of document.querySelectorAll('img:not([alt])'))
    say('no alt', image);

  /* Contrast of every visible text against its background; colours of any notation through a canvas. */
  const context = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
  const rgba = colour => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => top.slice(0, 3).map((value, k) => value * top[3] + under[k] * (1 - top[3]));
  const ground = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement)
      layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const light = colour => {
    const [r, g, b] = colour.map(value => value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const asked = new Set();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || asked.has(element) || element.closest('script, style, noscript, option, svg') || !seen(element) || element.closest('.unseen') || element.matches(':disabled'))
      continue;
    asked.add(element);
    const style = getComputedStyle(element), under = ground(element);
    let strength = 1;
    for (let at = element; at; at = at.parentElement)
      strength *= +getComputedStyle(at).opacity;
    const colour = rgba(style.color);
    colour[3] *= strength;
    const ink = over(colour, under), [a, b] = [light(ink), light(under)].sort((p, q) => q - p), ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.66 && +style.fontWeight >= 700;
    if (ratio < (large ? 3 : 4.5))
      say('contrast ' + ratio.toFixed(2), element);
  }
  return faults;
})()
