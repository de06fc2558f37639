"use strict";
const byId = (id) => document.getElementById(id);
const limits = document.querySelector(".try").dataset;
const percent = (probability) => `${(100 * probability).toFixed(1)}%`;

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function refuse(sentence) {
  byId("error").textContent = sentence;
  byId("error").hidden = !sentence;
  // An answer above a refusal would seem to be of the photo that was refused.
  if (sentence) byId("answer").hidden = true;
}

function show(answer, title) {
  const [best] = answer.classes;
  byId("seen").src = answer.picture;
  const right = answer.label === null ? "" : answer.label === best.class ? ", and is one" : `, and is: ${answer.label}`;
  byId("verdict").replaceChildren(element("b", best.class), ` ${percent(best.probability)}${right}`, document.createElement("br"), element("small", title));
  byId("classes").replaceChildren(...answer.classes.map(({ class: name, probability }) => {
    const row = document.createElement("tr");
    const meter = document.createElement("meter");
    meter.value = probability;
    meter.setAttribute("aria-label", `${name}: ${percent(probability)}`);
    const bar = document.createElement("td");
    bar.append(meter);
    const number = element("td", percent(probability));
    number.className = "number";
    row.append(element("td", name), number, bar);
    return row;
  }));
  byId("answer").hidden = false;
}

// Of two questions only the later one's answer is shown.
let asked = 0;
async function ask(title, path, options) {
  const mine = ++asked;
  try {
    const response = await fetch(path, options);
    const answer = await response.json();
    if (mine !== asked) return;
    refuse(answer.error ? `${title}: ${answer.error}.` : "");
    if (!answer.error) show(answer, title);
  } catch {
    if (mine === asked) refuse("The trainer does not answer; it may have been ended.");
  }
}

function send(file) {
  if (!file) return;
  if (file.size > Number(limits.longest)) {
    asked++;
    return refuse(`${file.name}: a photo may have ${Number(limits.longest) / 1e6} megabytes at most.`);
  }
  ask(file.name, "/photo", { method: "POST", body: file });
}

byId("file").addEventListener("change", (event) => {
  send(event.target.files[0]);
  event.target.value = "";
});
byId("drop").addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    byId("file").click();
  }
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") send(event.dataTransfer.files[0]);
  });
}
byId("random")?.addEventListener("click", () => {
  const number = Math.floor(Math.random() * Number(limits.testImages));
  ask(`test image ${number}`, `/test/${number}`);
});

let drawn = "";
async function poll() {
  if (!document.hidden) {
    try {
      const response = await fetch("/curves");
      const text = await response.text();
      byId("stale").hidden = response.ok;
      if (response.ok && text !== drawn) byId("curves").innerHTML = drawn = text;
      if (!response.ok) byId("stale").textContent = `${JSON.parse(text).error}.`;
    } catch {
      byId("stale").textContent = "The trainer does not answer; these curves are as they last were.";
      byId("stale").hidden = false;
    }
  }
  setTimeout(poll, 2000);
}
poll();
