// Shows the OpenAPI document of the shop, in the colours that the visitor has set; our own page has the heading.
// `credentials` keeps a login's cookie out of what is tried: the token that was pasted counts alone.
const place = document.querySelector("#docs");
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
paint();
dark.addEventListener("change", paint);
// Swagger UI brings the page's <main>, so ours becomes a plain part; its headings begin two levels below ours.
const frame = document.querySelector("main");
const plain = document.createElement("div");
plain.append(...frame.childNodes);
frame.replaceWith(plain);
const level = (heading) => heading.setAttribute("aria-level", Math.max(2, Number(heading.tagName[1]) - 1));
const raise = () => place.querySelectorAll(":is(h1, h2, h3, h4, h5, h6):not([aria-level])").forEach(level);
new MutationObserver(raise).observe(place, { childList: true, subtree: true });
SwaggerUIBundle({
  domNode: place,
  url: place.dataset.document,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  requestInterceptor: (request) => Object.assign(request, { credentials: "omit" }),
});
