// What the page does; names.js has the network, texts.js the texts.

const MOST = 12; // bars at once
const SLICE = 40; // milliseconds of work, after which the browser may do something else
const language = navigator.languages.map((code) => code.slice(0, 2)).find((code) => code in TEXTS) ?? "en";
const say = TEXTS[language];
const element = (id) => document.getElementById(id);
const value = (id) => Number(element(id).value);
const number = (value, options) => value.toLocaleString(language, options);
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;

function showBars() {
  const prefix = element("prefix").value;
  element("degrees").value = element("temperature").value;
  element("share").value = `${Math.round(100 * value("top-p"))}\u00a0%`;
  element("error").textContent = "";
  let p;
  try {
    p = litMakemore.probabilities(prefix, { temperature: value("temperature"), topP: value("top-p") });
  } catch (error) {
    showError(error);
    return;
  }
  element("caption").textContent = prefix ? say.after(prefix) : say.first;
  const letters = [say.end, ...litMakemore.chars.map((char) => (char.trim() ? char : say.space))];
  const likeliest = Array.from(p.keys()).sort((a, b) => p[b] - p[a]).slice(0, MOST);
  const rows = likeliest.map((token) => makeRow(letters[token], p[token], p[token] / p[likeliest[0]]));
  const others = 1 - likeliest.reduce((sum, token) => sum + p[token], 0);
  if (p.length > MOST) rows.push(makeRow(say.others, Math.max(others, 0), 0));
  element("bars").replaceChildren(...rows);
}

function makeRow(letter, share, width) {
  const row = document.createElement("tr");
  const header = row.appendChild(document.createElement("th"));
  header.scope = "row";
  header.textContent = letter;
  row.insertCell().appendChild(document.createElement("div")).style.width = `${100 * width}%`;
  row.insertCell().textContent = percent(share);
  return row;
}

function showError(error) { // of a character that no word has
  if (!("char" in error)) throw error;
  element("error").textContent = say.unknown(error.char, error.instead);
  const field = ["prefix", "suffix", "pattern"].find((id) => element(id).value.includes(error.char));
  return element(field ?? "prefix");
}

// Works for a slice of time, and returns what a search found in it.
function work(search) {
  const end = performance.now() + SLICE, found = { names: [], drawn: 0 };
  do {
    const { value: step, done } = search.next();
    if (done) return { ...found, done, none: step };
    if (step.name) found.names.push(step.name);
    if ("name" in step) found.drawn++;
    else Object.assign(found, step);
  } while (performance.now() < end);
  return found;
}

let current; // the draw that goes on; another one ends it, and so does Stop

async function showNames() {
  const seed = element("seed").value === "" ? Math.floor(Math.random() * 2 ** 32) : value("seed");
  const num = value("num"), draw = { stopped: false };
  const search = litMakemore.search({
    num, seed, temperature: value("temperature"), topP: value("top-p"),
    prefix: element("prefix").value, suffix: element("suffix").value, pattern: element("pattern").value,
    minLength: value("shortest"), maxLength: value("longest"),
    unique: element("unique").checked, onlyNew: element("only-new").checked,
  });
  let names = 0, drawn = 0, share = "", slice;
  current = draw;
  setRunning(true);
  do {
    if (slice) await new Promise((resolve) => setTimeout(resolve)); // the browser's turn
    if (draw !== current) return;
    if (draw.stopped) break;
    try {
      slice = work(search);
    } catch (error) {
      setRunning(false);
      showError(error).focus();
      return;
    }
    if (names === 0) element("list").replaceChildren();
    element("list").append(...slice.names.map(makeName));
    names += slice.names.length;
    drawn += slice.drawn;
    if (slice.chance) share = say.share(number(100 * slice.chance, { maximumSignificantDigits: 2 }));
    element("progress").value = slice.prepared ?? names / num;
    element("drawn").textContent = "prepared" in slice && drawn === 0
      ? say.preparing(percent(slice.prepared)) : say.drawing(number(names), number(num), number(drawn));
  } while (!slice.done);
  const few = draw.stopped ? say.stopped(number(names), number(num))
    : slice.none ? say.none : names < num ? say.few(number(names), number(num)) : "";
  element("drawn").textContent = [few, share, say.drawnWith(seed)].filter(Boolean).join(" ");
  setRunning(false);
}

function setRunning(on) {
  element("running").hidden = !on;
  element("result").setAttribute("aria-busy", on); // a screen reader waits for the end
}

function makeName(name) {
  const item = document.createElement("li");
  const button = item.appendChild(document.createElement("button"));
  button.textContent = name;
  button.setAttribute("aria-pressed", kept.includes(name));
  button.addEventListener("click", () => keep(name));
  return item;
}

// Kept names are in the page's own storage. A browser may forbid it: then they are lost in the end.
const STORED = `names ${location.pathname}`;
let kept = stored();

function stored() {
  try {
    const names = JSON.parse(localStorage.getItem(STORED));
    return Array.isArray(names) ? names.filter((name) => typeof name === "string") : [];
  } catch {
    return [];
  }
}

function keep(name) {
  kept = kept.includes(name) ? kept.filter((other) => other !== name) : [...kept, name];
  element("kept-hint").textContent = say.keptHint;
  try {
    localStorage.setItem(STORED, JSON.stringify(kept));
  } catch {
    element("kept-hint").textContent = say.keptHere;
  }
  showKept();
}

function showKept() {
  element("kept").hidden = kept.length === 0;
  element("favourites").replaceChildren(...kept.map(makeName));
  for (const button of element("list").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", kept.includes(button.textContent));
  }
}

const textOf = (list) => Array.from(element(list).children, (item) => `${item.textContent}\n`).join("");

async function copy(button) {
  const text = textOf(button.dataset.copy);
  let copied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // the older way works in more frames
    const area = document.body.appendChild(document.createElement("textarea"));
    area.value = text;
    area.select();
    copied = document.execCommand("copy");
    area.remove();
  }
  if (!copied) return;
  button.textContent = say.copied;
  setTimeout(() => { button.textContent = say.copy; }, 2000);
}

function download(button) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([textOf(button.dataset.download)], { type: "text/plain" }));
  link.download = "names.txt";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

document.documentElement.lang = language;
for (const part of document.querySelectorAll("[data-text]")) part.textContent = say[part.dataset.text];
element("seed").placeholder = say.random;
element("only-new-hint").textContent = say.onlyNewHint(percent(litMakemore.errorRate));
element("top-p").value = litMakemore.topP;
element("options").open = matchMedia("(min-width: 48rem)").matches; // a phone shows the names first

element("shortest").addEventListener("input", () => {
  element("longest").min = element("shortest").value; // the browser says what is wrong
});
for (const id of ["prefix", "temperature", "top-p"]) element(id).addEventListener("input", showBars);
element("form").addEventListener("invalid", () => { element("options").open = true; }, true);
element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  showBars();
  showNames();
  const title = element("names-title"); // on a phone it may lie below the form
  if (title.getBoundingClientRect().top > innerHeight / 2) title.scrollIntoView();
});
element("stop").addEventListener("click", () => { current.stopped = true; });
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copy(button));
}
for (const button of document.querySelectorAll("[data-download]")) {
  button.addEventListener("click", () => download(button));
}
addEventListener("storage", () => { // another window of this page
  kept = stored();
  showKept();
});
showBars();
showKept();
showNames();
