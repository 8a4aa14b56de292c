// What the page shows; names.js has the network.

const MOST = 12; // bars at once
const element = (id) => document.getElementById(id);
const value = (id) => Number(element(id).value);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function showBars() {
  const prefix = element("prefix").value;
  element("degrees").value = element("temperature").value;
  element("error").textContent = "";
  let p;
  try {
    p = litMakemore.probabilities(prefix, value("temperature"));
  } catch (error) {
    element("error").textContent = error.message;
    return;
  }
  element("caption").textContent = prefix
    ? `How likely each letter is after “${prefix}”` : "How likely each letter is at the beginning";
  const letters = ["(end)", ...litMakemore.chars.map((char) => (char.trim() ? char : "(space)"))];
  const likeliest = Array.from(p.keys()).sort((a, b) => p[b] - p[a]).slice(0, MOST);
  const rows = likeliest.map((token) => makeRow(letters[token], p[token], p[token] / p[likeliest[0]]));
  const others = 1 - likeliest.reduce((sum, token) => sum + p[token], 0);
  if (p.length > MOST) rows.push(makeRow("(others)", others, 0));
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

function showNames() {
  const seed = element("seed").value === "" ? Math.floor(Math.random() * 2 ** 32) : value("seed");
  const options = {
    num: value("num"), seed, temperature: value("temperature"), prefix: element("prefix").value,
    minLength: value("shortest"), maxLength: value("longest"), onlyNew: element("only-new").checked,
  };
  let names;
  try {
    names = litMakemore.names(options);
  } catch { // showBars has said what is wrong
    element("prefix").focus();
    return;
  }
  element("list").replaceChildren(...names.map((name) => {
    const item = document.createElement("li");
    item.dir = "auto";
    item.textContent = name;
    return item;
  }));
  const few = names.length < options.num
    ? `Only ${names.length} of ${options.num} were found: names like these are rare. ` : "";
  element("drawn").textContent = `${few}Seed ${seed}`;
}

element("only-new-hint").textContent =
  `Leaves out the names of the list, and by mistake ${percent(litMakemore.errorRate)} of the others.`;
element("shortest").addEventListener("input", () => {
  element("longest").min = element("shortest").value; // the browser says what is wrong
});
for (const id of ["prefix", "temperature"]) element(id).addEventListener("input", showBars);
element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  showNames();
  element("list").scrollIntoView({ block: "nearest" }); // on a phone it lies below the form
});
showBars();
showNames();
