"""The page's style: one sheet, light or dark as its reader likes, for a desk and a phone and for paper.


Decides: type, measure and colours (Okabe and Ito, 2008: apart for every kind of colour vision). It names no file and
no address: a page needs nothing but itself.
"""

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --paper: #fbfaf7; --card: #ffffff; --ink: #1c1d21; --soft: #5b5f68; --line: #e3e1da;
  --accent: #0a5f96; --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #a8578a; --good: #00694d; --bad: #b03a06;
  --wash: #eef4f8; }
@media (prefers-color-scheme: dark) { :root { --paper: #14161a; --card: #1c1f25; --ink: #eceae4; --soft: #a3a8b3;
  --line: #31353d; --accent: #7fc1ec; --c0: #56b4e9; --c1: #f0a05a; --c2: #3ecf9f; --c3: #dd9bc4; --good: #5fd3ac;
  --bad: #ff9a6b; --wash: #1f2a33; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.6 -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", "Noto Sans", "Liberation Sans", "DejaVu Sans", system-ui, sans-serif;
  font-variant-numeric: tabular-nums; }
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1, h2, h3 { line-height: 1.2; letter-spacing: -0.01em; margin: 0; font-weight: 650; }
h1 { font-size: clamp(1.6rem, 4.5vw, 2.3rem); }
h2 { font-size: 1.35rem; margin: 3rem 0 1rem; }
h3 { font-size: 1rem; margin: 0 0 .4rem; }
p { margin: .5rem 0; max-width: 68ch; }
a { color: var(--accent); }
.over { color: var(--soft); font-size: .875rem; letter-spacing: .02em; margin: 0 0 .4rem; overflow-wrap: anywhere; }
.lead { font-size: 1.1rem; text-wrap: balance; }
.state { display: inline-block; font-size: .8rem; font-weight: 650; padding: .1rem .6rem; border-radius: 1rem;
  border: 1px solid currentColor; vertical-align: .2em; margin-left: .6rem; letter-spacing: 0; }
.state.good { color: var(--good); } .state.bad { color: var(--bad); } .state.open { color: var(--accent); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .75rem;
  margin: 1.5rem 0 0; padding: 0; }
.tiles div { max-width: 17rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .6rem; padding: .75rem .9rem; }
.tiles dt { color: var(--soft); font-size: .8rem; }
.tiles dd { margin: 0; font-size: 1.4rem; font-weight: 650; line-height: 1.3; }
.tiles small { display: block; font-size: .78rem; font-weight: 400; color: var(--soft); }
.pair { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1rem 1rem .8rem; }
figure p { font-size: .85rem; color: var(--soft); margin: .4rem 0 0; line-height: 1.45; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--soft); font-size: 12px; } svg .axis { fill: var(--ink); } svg .name { fill: var(--ink); }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .target { stroke: var(--bad); stroke-width: 1.6; stroke-dasharray: 6 5; }
svg polyline { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round; }
.l0 { stroke: var(--c0); } .l1 { stroke: var(--c1); stroke-dasharray: 7 4; }
.l2 { stroke: var(--c2); stroke-dasharray: 2 4; }
.l3 { stroke: var(--c3); stroke-dasharray: 9 3 2 3; }
.f0 { fill: var(--c0); } .f1 { fill: var(--c1); } .f2 { fill: var(--c2); } .f3 { fill: var(--c3); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; list-style: none; margin: 0 0 .5rem; padding: 0;
  font-size: .85rem; }
.legend li { display: flex; align-items: center; gap: .4rem; }
.legend i { width: .75rem; height: .75rem; border-radius: 50%; flex: none; } .legend i.k1 { border-radius: 0; }
.legend i.k2 { border-radius: 0; transform: rotate(45deg) scale(.85); }
.legend i.k3 { clip-path: polygon(50% 0, 100% 100%, 0 100%); border-radius: 0; }
.k0 { background: var(--c0); } .k1 { background: var(--c1); } .k2 { background: var(--c2); }
.k3 { background: var(--c3); }
blockquote { margin: .8rem 0; padding: .8rem 1.1rem; background: var(--wash); border-left: 4px solid var(--accent);
  border-radius: 0 .5rem .5rem 0; max-width: 80ch; }
blockquote p { margin: 0; max-width: none; }
blockquote footer { color: var(--soft); font-size: .85rem; margin-top: .4rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; min-width: 100%; }
caption { text-align: left; color: var(--soft); font-size: .85rem; padding-bottom: .4rem; }
th, td { text-align: left; padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } td.v, th.v { text-align: right; }
td.n, th.n { text-align: right; white-space: nowrap; }
td.set { overflow-wrap: anywhere; min-width: 8.5rem; }
code, pre { font: .9em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono",
  monospace; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem;
  overflow-x: auto; margin: .5rem 0; }
details { margin: 1rem 0; } summary { cursor: pointer; font-weight: 600; color: var(--accent); padding: .3rem 0; }
summary:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
ul.plain { list-style: none; padding: 0; margin: .5rem 0; font-size: .9rem; overflow-wrap: anywhere; }
ul.plain li { padding: .2rem 0; border-bottom: 1px solid var(--line); }
.swatch { display: inline-block; width: .7rem; height: .7rem; margin-right: .4rem; }
footer.end { margin-top: 3rem; color: var(--soft); font-size: .85rem; border-top: 1px solid var(--line);
  padding-top: 1rem; }
@media (max-width: 40rem) { main { padding: 1.4rem 1rem 3rem; } h2 { margin-top: 2.2rem; } .state { margin-left: 0; }
  h1 .state { display: table; margin-top: .4rem; } .tiles { grid-template-columns: 1fr 1fr; gap: .6rem; }
  .tiles dd { font-size: 1.2rem; } figure { padding: .8rem .7rem .6rem; } }
@media print { body { background: #fff; } figure, .tiles div { break-inside: avoid; } }
"""
