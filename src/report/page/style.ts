/** Light and dark by the reader's own setting; one column on phones. */
export const STYLE = `
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--soft:#57606a;--rule:#d5dae0;--panel:#f5f7f9;--accent:#0b5cad;--warn:#9a3412;
--c0:#0b5cad;--c1:#c2410c;--c2:#15803d;--c3:#7e22ce;--c4:#0e7490;--c5:#be185d;--c6:#854d0e;--c7:#475569}
@media (prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e6e9ec;--soft:#a3adb8;--rule:#363c44;--panel:#1d2127;--accent:#7cb7f5;--warn:#fdba74;
--c0:#7cb7f5;--c1:#fb923c;--c2:#6ee7a0;--c3:#d0a5fb;--c4:#67d5ea;--c5:#f9a8d4;--c6:#eac54f;--c7:#b6c2d1}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1rem}
h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0}
h2{font-size:1.2rem;margin:2.2rem 0 .4rem;border-top:1px solid var(--rule);padding-top:1rem}
h3{font-size:1rem;margin:1.4rem 0 .3rem}
p{max-width:46rem;margin:.4rem 0}
.soft{color:var(--soft)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1rem}
figure{margin:.6rem 0;min-width:0;max-width:40rem}
figcaption{font-weight:600}
.chart{width:100%;height:auto;display:block;background:var(--panel);border-radius:6px}
.chart text{fill:var(--fg);font:11.5px system-ui,sans-serif}
.grid{stroke:var(--rule);fill:none;stroke-width:1}
.mark{stroke:var(--soft);fill:none;stroke-dasharray:3 3}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
${Array.from({ length: 8 }, (_, i) => `.c${i}{stroke:var(--c${i})}`).join('')}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1rem;padding:0;margin:.4rem 0;font-size:.85rem;overflow-wrap:anywhere}
.legend svg{width:34px;height:8px;margin-right:.4rem;vertical-align:middle}
.scroll{overflow-x:auto;margin:.6rem 0}
.scroll:focus-visible,summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.2rem 0}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}
th[scope=row],thead th:first-child{text-align:left}
th[scope=row]{font-weight:400;white-space:normal;overflow-wrap:break-word;min-width:7rem;max-width:16rem}
thead th{color:var(--soft);font-weight:600;vertical-align:bottom;white-space:normal}
.more{color:var(--warn);font-weight:600}
.bar{width:min(7rem,18vw);height:12px;display:block}
.bar rect{fill:var(--c0);opacity:.45}
.range{stroke:var(--fg);stroke-width:2;vector-effect:non-scaling-stroke}
.whole{stroke:var(--warn);stroke-width:2;vector-effect:non-scaling-stroke}
details{margin:.5rem 0}
details details{margin-left:1rem}
summary{cursor:pointer;color:var(--accent)}
.examples{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));gap:.8rem;padding:0;list-style:none}
.examples li{background:var(--panel);border-radius:6px;padding:.5rem;font-size:.8rem;overflow-wrap:anywhere}
.examples img{width:100%;aspect-ratio:1;object-fit:contain;display:block}
`;
