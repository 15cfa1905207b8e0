/* What the theme makes in the reader's browser, made fit for keyboards and screen readers:
   wide tables can be scrolled by keyboard, and each code block's buttons have a name of their own. */
(function () {
  "use strict";
  function reach() {
    document.querySelectorAll(".md-typeset__scrollwrap").forEach(function (wrap, number) {
      if (wrap.scrollWidth > wrap.clientWidth) {
        wrap.tabIndex = 0;
        wrap.setAttribute("role", "region");
        wrap.setAttribute("aria-label", "Table " + (number + 1) + ", wider than the page");
      }
    });
    document.querySelectorAll(".md-code__nav:not([aria-label])").forEach(function (nav) {
      var number = Array.from(document.querySelectorAll(".md-code__nav")).indexOf(nav);
      nav.setAttribute("aria-label", "Code block " + (number + 1));
    });
  }
  new MutationObserver(reach).observe(document.body, { childList: true, subtree: true });
  window.addEventListener("resize", reach);
  reach();
})();
