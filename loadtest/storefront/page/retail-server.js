// The client of Retail Server: its URLs, header fields and errors. It knows nothing of a cache.

const API_VERSION = "7.3";
const TIMEOUT_MS = 30_000;

/** Retail Server, or what stands before it, refused or could not be reached. */
export class RetailServerError extends Error {
  constructor(operation, status, code, message) {
    super(message);
    this.name = "RetailServerError";
    this.operation = operation;
    this.status = status;
    this.code = code;
  }
}

export class RetailServer {
  #base;
  #language;
  #session = identifier();
  operatingUnit;
  /** What was asked since `forgetCalls`, in the order in which it was asked. */
  calls = [];

  constructor({ base, operatingUnit, language }) {
    this.#base = base.replace(/\/+$/, "");
    this.#language = language;
    this.operatingUnit = operatingUnit;
  }

  get base() {
    return this.#base;
  }

  forgetCalls() {
    this.calls = [];
  }

  /** A bound or unbound function, or an entity. */
  get(path, signal, options = "") {
    return this.#call("GET", path, signal, options);
  }

  /** An action, with its parameters. */
  post(path, parameters, signal, options = "") {
    return this.#call("POST", path, signal, options, parameters);
  }

  async #call(method, path, signal, options, parameters) {
    const operation = path.replace(/\([^)]*\)/g, "");
    const call = { method, operation, began: performance.now(), status: null, cache: null };
    this.calls.push(call);
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    let response;
    try {
      response = await fetch(`${this.#base}/${path}?api-version=${API_VERSION}${options}`, {
        method,
        headers: this.#headers(parameters !== undefined),
        body: parameters === undefined ? undefined : JSON.stringify(parameters),
        signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
        credentials: "omit",
      });
      call.status = response.status;
      call.cache = response.headers.get("cache-status");
      if (!response.ok) throw await refusal(operation, response);
      return response.status === 204 ? null : await response.json();
    } catch (error) {
      if (error instanceof RetailServerError || error.name === "AbortError") throw error;
      const why = deadline.aborted ? `did not answer within ${TIMEOUT_MS / 1000} s`
        : response ? "broke off its answer" : "cannot be reached";
      throw new RetailServerError(operation, call.status, null, `Retail Server ${why}.`);
    } finally {
      call.took = performance.now() - call.began;
    }
  }

  #headers(hasBody) {
    const headers = {
      "Accept": "application/json",
      "Accept-Language": this.#language,
      "AppSessionId": this.#session,
      "OData-MaxVersion": "4.0",
      "RequestId": identifier(),
    };
    if (this.operatingUnit) headers["OUN"] = this.operatingUnit;
    if (hasBody) headers["Content-Type"] = "application/json";
    return headers;
  }
}

/** The error that a refusal tells: `message` may itself hold a JSON document with the text for people. */
async function refusal(operation, response) {
  let code = null;
  let message = `Retail Server answered ${response.status}.`;
  try {
    const { error } = await response.json();
    code = error.code ?? null;
    message = error.message || message;
    message = JSON.parse(message).Exception?.LocalizedMessage || message;
  } catch {
    // No JSON, or plain text in `message`: then that is the text.
  }
  return new RetailServerError(operation, response.status, code, message);
}

/** A random identifier; crypto.randomUUID is missing where a page came by plain HTTP from elsewhere. */
function identifier() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
