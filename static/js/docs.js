// Shows the OpenAPI document of the shop; `credentials` keeps a login's cookie out of what is tried with a token.
const place = document.querySelector("#docs");
SwaggerUIBundle({
  domNode: place,
  url: place.dataset.document,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  requestInterceptor: (request) => Object.assign(request, { credentials: "omit" }),
});
