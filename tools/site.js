// What the theme leaves without a name gets one, for screen readers
const name = () => {
  document.querySelectorAll('.md-code__nav:not([aria-label])').forEach((o, i) => o.setAttribute('aria-label', `Code ${i + 1}`));
  document.querySelectorAll('a[name^="__codelineno"]:not([aria-hidden])').forEach(o => { o.setAttribute('aria-hidden', 'true'); o.tabIndex = -1; });
  document.querySelectorAll('.md-nav--secondary .md-nav[aria-label]:not([aria-label^="Below "])').forEach(o => o.setAttribute('aria-label', `Below ${o.getAttribute('aria-label')}`));
  document.querySelectorAll('.md-typeset__scrollwrap:not([tabindex])').forEach(o => { o.tabIndex = 0; });
};
new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
name();
