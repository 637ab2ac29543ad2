// The asker's side of a private prediction, in the browser: masks, canaries and unmasking are made here.
//
// Decides what predictions/asking.py and predictions/canaries.py decide: an input is m = x + l1 + l2 mod 2^64, where l1
// and l2 are AES-256-CTR streams of the two servers' sub-seeds; the same m goes to both; an answer is believed only when
// both servers agree and the canary came back right. The local server sees masked words, sub-seeds and masked answers.
"use strict";

const WIDE = 64;
const DIGEST_BYTES = 32;
const SERVERS = ["online-1", "online-2"];
const at = (id) => document.getElementById(id);
let kit = null;
let seen = null; // of the last query: m, l1 and l2 of the drawing, for the pictures

class Refused extends Error {}

// ---- residues and streams -------------------------------------------------------------------------------------------

async function stream(seed, bytes) {
  const key = await crypto.subtle.importKey("raw", seed, "AES-CTR", false, ["encrypt"]);
  const plain = new Uint8Array(bytes);
  return new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CTR", counter: new Uint8Array(16), length: 64 }, key, plain));
}

// Residues mod 2^bits, each in as few whole bytes as hold it: words of 1, 2, 4 or 8 bytes as they are; of 3 bytes the
// lower two of all come first and then the third of all, of 5 bytes the lower four and then the fifth (predictions/ring.py).
function unpack(octets, bits) {
  const size = Math.ceil(bits / 8);
  const count = octets.length / size;
  const first = [8, 4, 2, 1].find((word) => word <= size);
  const words = new Array(count).fill(0n);
  let start = 0;
  for (let done = 0; done < size; ) {
    const take = done === 0 ? first : [4, 2, 1].find((word) => word <= size - done);
    for (let i = 0; i < count; i++) {
      for (let b = 0; b < take; b++) words[i] |= BigInt(octets[start + i * take + b]) << BigInt(8 * (done + b));
    }
    start += count * take;
    done += take;
  }
  return words.map((word) => BigInt.asUintN(bits, word));
}

function below(limit) { // uniform in 0..limit-1
  const word = new Uint32Array(1);
  const most = Math.floor(2 ** 32 / limit) * limit;
  do crypto.getRandomValues(word); while (word[0] >= most);
  return word[0] % limit;
}

function same(left, right) {
  let apart = left.length ^ right.length;
  for (let i = 0; i < left.length; i++) apart |= left[i] ^ right[i];
  return apart === 0;
}

// ---- the protocol ---------------------------------------------------------------------------------------------------

async function carry(party, verb, values, body) {
  const reply = await fetch(`${party}/${verb}?${new URLSearchParams(values)}`, { method: "POST", body });
  if (!reply.ok) {
    const told = await reply.json().catch(() => ({ code: "ENV", message: "the client's own server is gone; start it again" }));
    throw new Refused(`${told.code}: ${told.message}`);
  }
  const counted = Number(reply.headers.get("X-Sent")) + Number(reply.headers.get("X-Received"));
  return { octets: new Uint8Array(await reply.arrayBuffer()), counted };
}

function both(call) { return Promise.all(SERVERS.map(call)); }

async function ask(drawing, answer) {
  const rows = 1 + kit.ride, size = kit.height * kit.width;
  const own = below(rows);
  const drawn = Array.from({ length: rows }, (_, row) => (row === own ? null : kit.canaries[below(kit.canaries.length)]));
  const inputs = drawn.map((canary) => (canary ? canary.input : drawing));
  const query = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

  const seeds = await both((party) => carry(party, "ask", { query, answer, rows }, new Uint8Array()));
  const [first, second] = await Promise.all(
    seeds.map(async (seed) => new BigUint64Array((await stream(seed.octets, 8 * size * rows)).buffer)));
  const masked = new BigUint64Array(size * rows); // pixels by rows: the batch is the last axis
  for (let pixel = 0; pixel < size; pixel++) {
    for (let row = 0; row < rows; row++) {
      const i = pixel * rows + row;
      masked[i] = BigInt(inputs[row][pixel]) + first[i] + second[i]; // wraps at 2^64
    }
  }
  seen = { masked: column(masked, own, rows), first: column(first, own, rows), second: column(second, own, rows) };

  const told = await both((party) => carry(party, "input", { query }, masked));
  const found = unmasked(told.map((one) => one.octets), answer, rows);
  drawn.forEach((canary, row) => { if (canary) check(found[row], canary, answer); });
  return { found: found[own], bytes: told.reduce((sum, one) => sum + one.counted, 0), canaries: rows - 1 };
}

function column(words, row, rows) { return BigUint64Array.from({ length: words.length / rows }, (_, i) => words[i * rows + row]); }

function unmasked(told, answer, rows) {
  const { bits } = kit.answers[answer];
  const numbers = answer === "logits" ? kit.classes : 1;
  const size = numbers * rows * Math.ceil(bits / 8);
  if (told.some((one) => one.length !== DIGEST_BYTES + 2 * size)) throw new Refused("FORMAT: an answer has the wrong length");
  const parts = told.map((one) => ({
    digest: one.subarray(0, DIGEST_BYTES),
    share: one.subarray(DIGEST_BYTES, DIGEST_BYTES + size),
    masked: one.subarray(DIGEST_BYTES + size),
  }));
  if (!same(parts[0].digest, parts[1].digest) || !same(parts[0].masked, parts[1].masked)) {
    throw new Refused("CRYPTO: the two online servers computed different things; no answer is given");
  }
  const masked = unpack(parts[0].masked, bits), shares = parts.map((one) => unpack(one.share, bits));
  const values = masked.map((word, i) => Number(BigInt.asIntN(bits, word - shares[0][i] - shares[1][i])));
  return Array.from({ length: rows }, (_, row) => Array.from({ length: numbers }, (_, k) => values[k * rows + row]));
}

function check(found, canary, answer) {
  const right = answer === "logits"
    ? found.every((value, k) => Math.abs(value - canary.logits[k]) <= canary.tolerance[k])
    : found[0] === canary.logits.indexOf(Math.max(...canary.logits));
  if (!right) throw new Refused("CRYPTO: a canary came back wrong: a server lies or is broken, and no answer is given");
}

// ---- drawing --------------------------------------------------------------------------------------------------------

const board = at("drawing");
const pen = board.getContext("2d", { willReadFrequently: true });
let last = null, inked = false;

function clear() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, board.width, board.height);
  inked = false;
}

function place(event) {
  const box = board.getBoundingClientRect();
  return [(event.clientX - box.left) * board.width / box.width, (event.clientY - box.top) * board.height / box.height];
}

function draw(event) {
  if (!last) return;
  const next = place(event);
  pen.strokeStyle = "#fff";
  pen.lineWidth = Number(at("pen").value);
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...last);
  pen.lineTo(...next);
  pen.stroke();
  last = next;
  inked = true;
}

board.addEventListener("pointerdown", (event) => { board.setPointerCapture(event.pointerId); last = place(event); draw(event); });
board.addEventListener("pointermove", draw);
for (const end of ["pointerup", "pointercancel"]) board.addEventListener(end, () => { last = null; });

// The drawing as a data set's digits are: its centre of mass in the middle, in the middle 20 of MNIST's 28 pixels; small
// pictures are filled.
function pixels() {
  const { data } = pen.getImageData(0, 0, board.width, board.height);
  const ink = (x, y) => data[4 * (y * board.width + x)] / 255;
  let [left, top, right, bottom, mass, massX, massY] = [board.width, board.height, 0, 0, 0, 0, 0];
  for (let y = 0; y < board.height; y++) for (let x = 0; x < board.width; x++) {
    const value = ink(x, y);
    if (!value) continue;
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
    mass += value; massX += value * x; massY += value * y;
  }
  const small = new OffscreenCanvas(kit.width, kit.height).getContext("2d");
  small.fillStyle = "#000";
  small.fillRect(0, 0, kit.width, kit.height);
  const room = kit.height >= 20 ? 20 / 28 : 1;
  const zoom = kit.height * room / Math.max(right - left + 1, bottom - top + 1, 1);
  small.imageSmoothingQuality = "high";
  small.setTransform(zoom, 0, 0, zoom, kit.width / 2 - zoom * massX / mass, kit.height / 2 - zoom * massY / mass);
  small.drawImage(board, 0, 0);
  const found = small.getImageData(0, 0, kit.width, kit.height).data;
  return Array.from({ length: kit.width * kit.height }, (_, i) => found[4 * i] / 255);
}

function integers(shades) {
  const [low, high] = [Math.ceil(kit.low * kit.scale), Math.floor(kit.high * kit.scale)];
  return shades.map((shade) => Math.min(high, Math.max(low, Math.round((kit.low + (kit.high - kit.low) * shade) * kit.scale))));
}

// ---- what is shown --------------------------------------------------------------------------------------------------

function paint(id, shade) {
  const canvas = at(id);
  [canvas.width, canvas.height] = [kit.width, kit.height];
  const to = canvas.getContext("2d"), image = to.createImageData(kit.width, kit.height);
  for (let i = 0; i < kit.width * kit.height; i++) image.data.set([shade(i), shade(i), shade(i), 255], 4 * i);
  to.putImageData(image, 0, 0);
}

const top8 = (words) => (i) => Number(words[i] >> BigInt(WIDE - 8));

function showSeen() {
  for (const id of ["first-masked", "second-masked"]) paint(id, top8(seen.masked));
  for (const id of ["first-share", "helper-first"]) paint(id, top8(seen.first));
  for (const id of ["second-share", "helper-second"]) paint(id, top8(seen.second));
  for (const button of document.querySelectorAll("[data-two]")) button.disabled = false;
}

function reveal(two) {
  const span = (kit.high - kit.low) * kit.scale;
  paint("revealed", (i) => {
    const value = Number(BigInt.asIntN(WIDE, seen.masked[i] - seen.first[i] - seen.second[i]));
    return Math.round(255 * (value - kit.low * kit.scale) / span);
  });
  at("broken").textContent = `Together, ${two} have the drawing, and the model's weights the same way.`;
}

function showAnswer(told, answer, began) {
  const { scale } = kit.answers[answer];
  const label = answer === "logits" ? told.found.indexOf(Math.max(...told.found)) : told.found[0];
  at("answer").textContent = label;
  at("bars").replaceChildren();
  if (answer === "logits") {
    const logits = told.found.map((value) => value / scale), most = Math.max(...logits);
    const powers = logits.map((value) => Math.exp(value - most)), sum = powers.reduce((a, b) => a + b);
    powers.map((power, k) => [power / sum, k]).sort((a, b) => b[0] - a[0]).slice(0, 5).forEach(([part, k]) => {
      const bar = document.createElement("div");
      bar.className = "bar";
      const meter = document.createElement("meter");
      meter.value = part;
      meter.setAttribute("aria-label", `class ${k}`);
      const [name, share] = [k, `${(100 * part).toFixed(1)} %`].map((text) => Object.assign(document.createElement("span"), { textContent: text }));
      bar.append(name, meter, share);
      at("bars").append(bar);
    });
  }
  at("time").textContent = `${(performance.now() - began).toFixed(0)} ms`;
  at("bytes").textContent = told.bytes.toLocaleString("en");
  at("canaries").textContent = `${told.canaries} right`;
}

function say(text, refused = false) {
  at("said").textContent = text;
  at("said").className = refused ? "refused" : "";
}

async function asked() {
  if (!inked) { say("Draw something first."); return; }
  at("ask").disabled = true;
  say("asking …");
  const answer = kit.allowed.includes("logits") ? "logits" : "label";
  const began = performance.now();
  try {
    const told = await ask(integers(pixels()), answer);
    showAnswer(told, answer, began);
    showSeen();
    say("Answered. Nobody but this browser knows what.");
  } catch (error) {
    at("answer").textContent = "–";
    at("bars").replaceChildren();
    say(error instanceof Refused ? error.message : `ENV: ${error.message}`, true);
  }
  at("ask").disabled = false;
}

async function start() {
  clear();
  kit = await (await fetch("kit.json")).json();
  at("model").textContent = `sharing ${kit.sharing}${kit.task ? `, task ${kit.task}` : ""}, ${kit.width} × ${kit.height} pixels, ${kit.classes} classes`;
  for (const canvas of document.querySelectorAll("figure canvas, #revealed")) paint(canvas.id, () => 0);
  at("ask").addEventListener("click", asked);
  at("clear").addEventListener("click", () => { clear(); say("Draw something, then ask."); });
  for (const button of document.querySelectorAll("[data-two]")) button.addEventListener("click", () => reveal(button.dataset.two));
  at("ask").disabled = false;
}

start().catch((error) => say(`ENV: ${error.message}; start the page again`, true));
