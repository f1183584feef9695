// Three comforts on the pages for customers: books suggested while typing a search, adding to the cart and reserving
// from a list without leaving it, and Escape to close the drawer of filters. Every page works without this script.

const PAUSE = 150; // ms after the last key before the shop is asked
const SOLD = "In stock";
const SOLD_OUT = "Out of stock";

const announcer = element("p", "visually-hidden", "");
announcer.setAttribute("aria-live", "polite");
document.body.append(announcer);

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

// Say a sentence to screen readers. Emptied first, because the same sentence again would not be a change.
function announce(sentence) {
  announcer.textContent = "";
  setTimeout(() => { announcer.textContent = sentence; }, 50);
}

// ---------------------------------------------------------------- suggestions: an ARIA combobox with a list

function price(book) {
  if (!book.price_cents) return "Price on request";
  const format = new Intl.NumberFormat("en", { style: "currency", currency: book.currency });
  return format.format(book.price_cents / 10 ** format.resolvedOptions().maximumFractionDigits);
}

function option(book, number) {
  const line = element("li", "suggestion", "");
  line.id = `suggestion-${number}`;
  line.dataset.address = book.address;
  line.setAttribute("role", "option");
  line.setAttribute("aria-selected", "false");
  const cover = element("img", "", "");
  Object.assign(cover, { src: book.cover, alt: "", width: 32, height: 48 });
  const words = element("span", "suggestion-words", "");
  const title = element("bdi", "suggestion-title", book.title);
  const authors = element("bdi", "quiet", book.authors);
  const facts = element("span", "", `${price(book)} · `);
  facts.append(element("span", book.in_stock ? "stock-here" : "stock-out", book.in_stock ? SOLD : SOLD_OUT));
  words.append(title, " ", authors, " ", facts);
  line.append(cover, words);
  return line;
}

function suggestInto(input) {
  const list = element("ul", "suggestions", "");
  let timer = 0;
  let request = new AbortController();
  let chosen = -1;

  Object.assign(list, { id: "suggestions", hidden: true });
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Suggested books");
  input.form.append(list);
  input.autocomplete = "off";
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("aria-expanded", "false");

  function choose(index) {
    list.children[chosen]?.setAttribute("aria-selected", "false");
    chosen = index;
    const line = list.children[chosen];
    if (line) {
      line.setAttribute("aria-selected", "true");
      line.scrollIntoView({ block: "nearest" });
      input.setAttribute("aria-activedescendant", line.id);
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  }

  function forget() {
    clearTimeout(timer);
    request.abort();
    request = new AbortController();
  }

  function close() {
    forget();
    choose(-1);
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
  }

  function show(books) {
    choose(-1);
    list.replaceChildren(...books.map(option));
    list.hidden = !books.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
    announce(books.length === 1 ? "1 book suggested" : `${books.length || "No"} books suggested`);
  }

  async function ask(typed) {
    const { signal } = request;
    try {
      const answer = await fetch(`/api/v1/books/suggest?q=${encodeURIComponent(typed)}`, { signal });
      const { items } = await answer.json();
      if (!signal.aborted) show(items);
    } catch {
      if (!signal.aborted) close(); // the search itself still works
    }
  }

  function typed(event) {
    if (event.isComposing) return; // the text is not finished; `compositionend` follows
    forget();
    const text = input.value.trim();
    if (text.length > 1 || text > "\x7f") timer = setTimeout(ask, PAUSE, text);
    else close();
  }

  function pressed(event) {
    if (event.isComposing || list.hidden) return;
    const last = list.children.length - 1;
    if (event.key === "ArrowDown") choose(chosen < last ? chosen + 1 : -1);
    else if (event.key === "ArrowUp") choose(chosen < 0 ? last : chosen - 1);
    else if (event.key === "Enter" && chosen >= 0) open(list.children[chosen]);
    else if (event.key === "Escape") close();
    else {
      if (["Home", "End", "ArrowLeft", "ArrowRight"].includes(event.key)) choose(-1); // back to the text
      return;
    }
    event.preventDefault();
  }

  function open(line) {
    close();
    location.assign(line.dataset.address);
  }

  input.addEventListener("input", typed);
  input.addEventListener("compositionend", typed);
  input.addEventListener("keydown", pressed);
  input.addEventListener("blur", close);
  input.form.addEventListener("submit", close);
  list.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus in the field
  list.addEventListener("click", (event) => {
    const line = event.target.closest("[role=option]");
    if (line) open(line);
  });
}

// ---------------------------------------------------------------- adding and reserving from a list

// The form is sent as the browser would send it, and the page in the answer gives the parts that have changed. One at a
// time: a visitor's cart is a cookie, and two answers at once would each lack the other's book.
let sending = Promise.resolve();
const waiting = new Set(); // the buttons whose forms are being sent

async function send(form, button) {
  const card = button.closest("[id^='book-']");
  const body = new URLSearchParams(new FormData(form, button));
  const address = button.hasAttribute("formaction") ? button.formAction : form.action;
  const answer = await fetch(address, { method: "POST", body });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const changed = page.getElementById(card.id);
  const sentence = page.querySelector("main .alert p")?.textContent;
  const isHere = answer.ok && new URL(answer.url).pathname === location.pathname;
  if (!isHere || !changed || !sentence || !page.getElementById(form.id)) throw new Error("shown by the page itself");
  update(form, card, changed, page, sentence);
}

function update(form, card, changed, page, sentence) {
  const hadFocus = card.contains(document.activeElement);
  document.querySelectorAll(".book-card-notice").forEach((notice) => notice.remove());
  if (!changed.querySelector(".book-card-notice")) changed.append(element("p", "book-card-notice", sentence));
  card.replaceWith(changed);
  if (hadFocus) (changed.querySelector("button") ?? changed.querySelector("a:not([tabindex])")).focus();
  changed.querySelector(".book-card-notice").scrollIntoView({ block: "nearest" });
  document.querySelector(".shop-tools").replaceWith(page.querySelector(".shop-tools"));
  form.elements.once.value = page.getElementById(form.id).elements.once.value;
  announce(sentence);
}

function sent(event) {
  const { target: form, submitter: button } = event;
  if (form.dataset.plainly || !button?.closest("[id^='book-']")) return;
  event.preventDefault();
  if (waiting.has(button)) return;
  waiting.add(button);
  sending = sending
    .then(() => send(form, button))
    .catch(() => {
      form.dataset.plainly = "yes"; // with the same `once`: what has happened is not done again
      form.requestSubmit(button);
    })
    .finally(() => waiting.delete(button));
}

// ---------------------------------------------------------------- the drawer of filters

function leave(event) {
  const opener = document.querySelector(".filters-open");
  const isOpen = location.hash === "#filters" && opener?.offsetParent;
  if (event.key !== "Escape" || event.defaultPrevented || !isOpen) return;
  location.hash = "books";
  opener.focus();
}

const search = document.getElementById("search");
if (search) suggestInto(search);
document.getElementById("to-cart")?.addEventListener("submit", sent);
document.addEventListener("keydown", leave);
