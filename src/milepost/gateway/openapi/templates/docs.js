"use strict";
const root = document.body.dataset.root;
const secret = document.getElementById("secret");
document.getElementById("key").addEventListener("submit", (event) => {
  event.preventDefault();
  know();
});
secret.addEventListener("change", know);
document.getElementById("shell").textContent =
  `export MILEPOST=${location.origin}${root}\nexport MILEPOST_KEY=mp_…`;

// The tasks that may be asked: with the first of them the forms are filled and the commands made.
let named = "route";
async function know() {
  const headers = secret.value ? { Authorization: `Bearer ${secret.value}` } : {};
  const said = document.getElementById("known");
  try {
    const answer = await fetch(`${root}/v1/tasks`, { headers });
    const found = await answer.json();
    if (!answer.ok) { if (secret.value) said.textContent = found.error.message; return; }
    const names = found.tasks.map((task) => task.name);
    said.textContent = names.length ? `It may ask ${names.slice(0, 8).join(", ")}` +
      (names.length > 8 ? ` and ${names.length - 8} more.` : ".") : "No task can answer yet.";
    if (names.length) fill(names);
  } catch (error) { said.textContent = String(error); }
}

function fill(names) {
  document.getElementById("tasks").replaceChildren(...names.map((name) => {
    const option = document.createElement("option");
    option.value = name;
    return option;
  }));
  const task = names[0];
  for (const input of document.querySelectorAll('.try input[name="path:task"]'))
    if (!input.value || input.value === named) input.value = task;
  for (const area of document.querySelectorAll(".try textarea"))
    area.value = area.value.replaceAll(`"milepost/${named}"`, `"milepost/${task}"`);
  for (const pre of document.querySelectorAll("pre.curl"))
    pre.textContent = pre.textContent.replaceAll(`/${named}`, `/${task}`);
  named = task;
}
know();

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.closest("figure").querySelector("pre").textContent);
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
}

function address(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  for (const input of form.querySelectorAll("input")) {
    const [place, name] = input.name.split(":");
    if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.value) query.set(name, input.value);
  }
  return root + path + (query.size ? `?${query}` : "");
}

function shown(text, type) {
  if (!type.includes("json") || type.includes("ndjson")) return text;
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

async function send(form, output) {
  const headers = {};
  if (secret.value) headers.Authorization = `Bearer ${secret.value}`;
  const body = form.querySelector("textarea")?.value;
  if (body !== undefined) headers["Content-Type"] = form.dataset.media;
  const began = performance.now();
  const answer = await fetch(address(form), { method: form.dataset.method, headers, body });
  const text = await answer.text();
  const took = (performance.now() - began).toFixed(1);
  const line = document.createElement("p");
  line.textContent = `${answer.status} in ${took} ms, request ${answer.headers.get("x-request-id")}`;
  const pre = document.createElement("pre");
  pre.className = answer.ok ? "" : "bad";
  pre.textContent = shown(text, answer.headers.get("content-type") ?? "");
  output.replaceChildren(line, pre);
}

for (const form of document.querySelectorAll(".try form")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const output = form.querySelector("output");
    try { await send(form, output); } catch (error) { output.textContent = String(error); }
  });
}
