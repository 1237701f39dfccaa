"""The look of every page: colours by variables, for light and dark; rows become cards on a phone."""

from __future__ import annotations

from monitor.report.html.palette import CIVIDIS, CIVIDIS_ON_DARK

_RAMPS = f""":root{{--ramp:{",".join(CIVIDIS)}}}
@media screen and (prefers-color-scheme:dark){{:root{{--ramp:{",".join(CIVIDIS_ON_DARK)}}}
.map td[style]{{background-color:var(--dark)!important;color:#000!important}}}}
"""
_LOOK = """
:root{--ink:#1b1f24;--soft:#57606a;--ground:#fff;--panel:#f3f5f7;--line:#d4d9df;--mark:#d1450b;
--more:224,130,20;--less:128,115,172;--focus:#0550ae}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a3acb6;--ground:#14171a;--panel:#1f2429;
--line:#3a4149;--mark:#ff8a4c;--more:224,130,20;--less:140,120,215;--focus:#79b8ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:62rem;margin:0 auto;padding:1rem}
h1{font-size:1.35rem;line-height:1.3;margin:.2rem 0 .8rem;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:2rem 0 .6rem}
p{margin:.4rem 0}.names,.note,.note h2{color:var(--soft)}.names{overflow-wrap:anywhere}
a{color:inherit}:focus-visible{outline:3px solid var(--focus);outline-offset:2px}
.facts{display:flex;flex-wrap:wrap;gap:.6rem;margin:1.2rem 0 0}
.facts div{background:var(--panel);border-radius:.5rem;padding:.5rem .8rem;flex:1 1 9rem}
dt{color:var(--soft);font-size:.85rem}dd{margin:0;font-weight:600}
.wide{overflow-x:auto}
.map{border-collapse:separate;border-spacing:2px;font-size:.75rem;
--cell:clamp(1.15rem,calc((min(100vw,62rem) - 4.5rem)/var(--heads) - 2px),2.6rem)}
.map th{font-weight:400;color:var(--soft);min-width:1.15rem}
.map td{width:var(--cell);min-width:var(--cell);height:var(--cell);padding:0;text-align:center;
border-radius:3px;line-height:1;font-size:.55rem;color:var(--soft)}
.map tbody td{background:var(--panel);box-shadow:inset 0 0 0 1px var(--line)}
.map td a{display:flex;width:100%;height:100%;align-items:center;justify-content:center;
text-decoration:none;border-radius:3px}
.map td.origin{outline:3px solid var(--mark);outline-offset:-1px;box-shadow:inset 0 0 0 4px var(--ground)}
.map td.changed,.key.changed{background-image:linear-gradient(225deg,currentColor .28rem,
transparent 0)}
.legend{max-width:28rem;margin-top:.8rem;font-size:.85rem;color:var(--soft)}
.ramp{height:.8rem;border-radius:3px;background:linear-gradient(to right,var(--ramp))}
.marks{position:relative;height:1.3rem}.marks span{position:absolute;transform:translateX(-50%)}
.marks span:first-child{transform:none}
.key{display:inline-block;width:.9rem;height:.9rem;border-radius:3px;vertical-align:-.1rem;margin:0 .2rem 0 0}
.key.origin{border:3px solid var(--mark)}.key.changed{border:1px solid var(--line);margin-left:.8rem}
.dot{margin-left:.8rem}
.words{line-height:1.9;overflow-wrap:anywhere}.words span{padding:.1em .12em;border-radius:3px;
unicode-bidi:isolate}
.words .special{font-size:.8em;font-style:italic;color:var(--soft)}
.keys{font-size:.8rem}.keys span{padding:.1em .5em}
.words .more{background:rgba(var(--more),calc(var(--share)*.75))}
.words .less{background:rgba(var(--less),calc(var(--share)*.75));
text-decoration:underline dotted rgba(var(--less),var(--share)) 2px;text-underline-offset:.2em}
.heads{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
.heads th,.heads td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line)}
.heads th{color:var(--soft);font-weight:400;font-size:.85rem}
details{margin:2rem 0 0}summary{cursor:pointer;font-weight:600}
@media(max-width:40rem){
.heads thead{display:none}.heads tr{display:grid;grid-template-columns:1fr 1fr;gap:.1rem .8rem;
padding:.5rem 0;border-bottom:1px solid var(--line)}
.heads td{border:0;padding:0;overflow-wrap:anywhere}
.heads td:nth-child(n+3)::before{content:attr(data-name);display:block;color:var(--soft);font-size:.75rem}}
@media print{:root{--ink:#000;--soft:#444;--ground:#fff;--panel:#f3f5f7;--line:#bbb;--mark:#d1450b;
--less:128,115,172}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
main{max-width:none;padding:0}.wide{overflow:visible}h2{break-after:avoid}tr,figure{break-inside:avoid}}
"""
STYLE = _RAMPS + _LOOK
