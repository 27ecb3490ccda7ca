#include "runtime/http/dashboard.hpp"

namespace troupe::http {

namespace {

/// Whatever is said by the cluster becomes text, never markup.
constexpr auto page = R"HTML(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Troupe</title>
<style>
:root { color-scheme: light dark; --line: #8884; --dim: #888; --bar: #38a; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 1rem auto;
       max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.2rem; margin: 0; }
h2 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
header { display: flex; gap: 1rem; align-items: baseline; flex-wrap: wrap; }
table { border-collapse: collapse; width: 100%;
        font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .1rem .5rem;
         border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: normal; }
td.text, th.text { text-align: left; }
.bar { background: var(--bar); height: .6rem; display: block; }
.trouble { color: #c33; } .dim { color: var(--dim); }
canvas { display: block; width: 100%; image-rendering: pixelated;
         border: 1px solid var(--line); }
#hint { min-height: 1.4em; } .long { max-height: 24rem; overflow: auto; }
form { display: none; }
</style>
</head>
<body>
<header>
<h1>Troupe</h1><span id="state" class="dim">asking</span>
<span id="trouble" class="trouble"></span>
<form id="door">
<label>API key <input id="key" type="password" autocomplete="off"></label>
<button>Show</button>
</form>
</header>
<h2>Experts by layer</h2>
<canvas id="heat" width="1" height="1"></canvas>
<div id="hint" class="dim">Rows that chose each expert of late, by the mean
of its layer: dark is none, bright is three times the mean. A dot: several
replicas.</div>
<h2>Balance</h2><div id="balance" class="dim">Experts are not balanced.</div>
<div class="long"><table id="moves"></table></div>
<div id="requests" class="dim">Requests are not moved.</div>
<div class="long"><table id="requestmoves"></table></div>
<h2>Workers</h2><table id="workers"></table>
<h2>Ranks</h2><table id="ranks"></table>
<h2>Nodes</h2><table id="nodes"></table>
<script>
"use strict";
const $ = id => document.getElementById(id);
const period = 2000;
let key = sessionStorage.getItem("troupe-key") || "";
const looks = []; // the last ones: rows are those that came since the first
const kept = 10;
let shown = null;

function table(id, heads, rows) {
  const out = [line("th", heads), ...rows.map(x => line("td", x))];
  $(id).replaceChildren(...out);
}

function line(kind, cells) {
  const tr = document.createElement("tr");
  for (const x of cells) {
    const cell = document.createElement(kind);
    if (x !== null && typeof x === "object") {
      const bar = document.createElement("span");
      bar.className = "bar";
      bar.style.width = Math.round(100 * x.bar) + "%";
      cell.append(bar);
      cell.style.width = "40%";
    } else {
      cell.textContent = x;
      if (typeof x === "string")
        cell.className = "text";
    }
    tr.append(cell);
  }
  return tr;
}

async function ask(path) {
  const headers = key ? {Authorization: "Bearer " + key} : {};
  const answer = await fetch(path, {headers, cache: "no-store"});
  $("door").style.display = answer.status === 401 ? "block" : "none";
  if (!answer.ok)
    throw new Error(answer.status === 401 ? "a key is needed"
                                          : "status " + answer.status);
  return answer.json();
}

/// What has come since then; all of it at the first look, or after a restart.
function since(now, before) {
  return now.map((x, i) => before && before[i] <= x ? x - before[i] : x);
}

function colour(x) { // of the mean
  const t = Math.min(x / 3, 1);
  return `hsl(${240 - 200 * t} 80% ${12 + 55 * t}%)`;
}

function drawHeat(experts, before) {
  const layers = experts.layers;
  const wide = Math.max(1, ...layers.map(x => x.rows.length));
  const cell = Math.max(4, Math.floor(1150 / wide));
  const high = Math.min(cell, 16);
  const heat = $("heat");
  heat.width = wide * cell;
  heat.height = Math.max(1, layers.length * high);
  const pen = heat.getContext("2d");
  shown = {layers: [], cell, high};
  layers.forEach((layer, l) => {
    const rows = since(layer.rows, before && before.layers[l]?.rows);
    const mean = rows.reduce((a, b) => a + b, 0) / rows.length || 1;
    shown.layers.push({layer, rows, mean});
    rows.forEach((x, e) => {
      pen.fillStyle = colour(x / mean);
      pen.fillRect(e * cell, l * high, cell - 1, high - 1);
      if (layer.replicas[e].length > 1) {
        pen.fillStyle = "#fff";
        pen.fillRect(e * cell + 1, l * high + 1, 2, 2);
      }
    });
  });
}

$("heat").addEventListener("mousemove", event => {
  if (!shown)
    return;
  const box = $("heat").getBoundingClientRect();
  const scale = $("heat").width / box.width;
  const e = Math.floor((event.clientX - box.left) * scale / shown.cell);
  const l = Math.floor((event.clientY - box.top) * scale / shown.high);
  const at = shown.layers[l];
  if (!at || !(e < at.rows.length))
    return;
  const workers = at.layer.replicas[e].map(x => x[0]).join(", ") || "none";
  $("hint").textContent = `unit ${at.layer.unit}, layer ${at.layer.layer}, `
    + `expert ${e}: ${at.rows[e]} rows, `
    + `${(at.rows[e] / at.mean).toFixed(2)} of the mean; on workers `
    + workers;
});

function drawWorkers(now, before) {
  const was = new Map((before?.workers || []).map(x => [x.worker, x.rows]));
  const rows = now.workers.map(x => was.get(x.worker) <= x.rows
                                      ? x.rows - was.get(x.worker) : x.rows);
  const most = Math.max(1, ...rows);
  table("workers", ["worker", "node", "rows", "of late", ""],
        now.workers.map((x, i) => [x.worker, x.node, x.rows, rows[i],
                                   {bar: rows[i] / most}]));
}

function drawRequests(now) {
  const x = now.request_balance;
  if (!x)
    return;
  $("requests").textContent = `${x.moved} requests moved to other ranks, `
    + `${x.refused} stayed, after ${x.plans} plans.`;
  table("requestmoves", ["request", "from", "to", "tokens", "gain", "reason"],
        [...now.request_moves].reverse().map(y => [y.request, y.from, y.to,
          y.kv_tokens, (100 * y.gain).toFixed(1) + " % ", y.reason]));
}

function drawBalance(now) {
  const x = now.balance;
  if (!x)
    return;
  const part = y => (100 * y).toFixed(1) + " %";
  $("balance").textContent = `Mean over largest load: ${part(x.balance)} found,`
    + ` ${part(x.planned)} planned. ${x.moved} experts moved by ${x.changes}`
    + ` changes, ${x.refused} refused, after ${x.plans} plans.`;
  table("moves", ["unit", "epoch", "layer", "expert", "from", "to", "gain",
                  "reason"],
        [...now.moves].reverse().map(y => [y.unit, y.epoch, y.layer, y.expert,
          y.from ?? "new", y.to, part(y.gain) + " ", y.reason]));
}

function draw(now, experts) {
  $("state").textContent = `view ${now.view}, epochs ${now.epochs.join(", ")}, `
    + (now.takes_requests ? "takes requests" : "takes no requests");
  $("trouble").textContent = now.trouble;
  drawHeat(experts, looks[0]?.experts);
  drawBalance(now);
  drawRequests(now);
  drawWorkers(now, looks[0]?.now);
  table("ranks", ["rank", "node", "running", "waiting", "blocks free", "of",
                  "steps", "tokens"],
        now.ranks.map(x => [x.rank, x.node, x.running, x.waiting,
                            x.kv_blocks_free, x.kv_blocks, x.steps, x.tokens]));
  table("nodes", ["node", "name", "state", "bytes sent"],
        now.nodes.map(x => [x.node, x.name,
                            x.state + (x.why ? ": " + x.why : ""),
                            x.network_bytes_sent]));
  looks.push({now, experts});
  if (looks.length > kept)
    looks.shift();
}

async function look() {
  try {
    draw(await ask("/cluster"), await ask("/cluster/experts"));
  } catch (error) {
    $("trouble").textContent = error.message;
  }
  setTimeout(look, period);
}

$("door").addEventListener("submit", event => {
  event.preventDefault();
  key = $("key").value;
  sessionStorage.setItem("troupe-key", key);
});

look();
</script>
</body>
</html>
)HTML";

} // namespace

reply render_dashboard() {
  reply out;
  out.content_type = "text/html; charset=utf-8";
  out.body = page;
  out.headers = {{"Content-Security-Policy",
                  "default-src 'none'; style-src 'unsafe-inline'; script-src "
                  "'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
                  "form-action 'none'; frame-ancestors 'none'"},
                 {"X-Content-Type-Options", "nosniff"},
                 {"Referrer-Policy", "no-referrer"}};
  return out;
}

} // namespace troupe::http
