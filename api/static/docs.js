SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
