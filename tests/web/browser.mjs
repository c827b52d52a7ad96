// What Node.js lacks of a browser: cookies, the origin of the page, and the events of page and network.

export class Browser {
  #cookies = new Map();
  #listeners = [];
  document = { hidden: false, addEventListener: (...listener) => this.addEventListener(...listener) };

  /** @param {string} origin of the page */
  constructor(origin) {
    const fields = () => ({ origin, cookie: [...this.#cookies].map((pair) => pair.join("=")).join("; ") });
    this.location = { origin };
    this.fetch = async (url, how = {}) => {
      const response = await nodeFetch(url, { ...how, headers: { ...how.headers, ...fields() } });
      for (const line of response.headers.getSetCookie()) {
        const [, name, value] = /^(.*?)=(.*?)(?:;|$)/.exec(line);
        this.#cookies.set(name, value);
      }
      return response;
    };
    this.WebSocket = class extends NodeWebSocket {
      constructor(url, protocols) {
        super(url, { protocols, headers: fields() });
      }
    };
  }

  addEventListener(event, call, { signal }) {
    this.#listeners.push({ event, call, signal });
  }

  dispatch(event) {
    for (const listener of this.#listeners) if (listener.event === event && !listener.signal.aborted) listener.call();
  }

  /** Make a program its page. Node.js does not show the cookies of handshakes, so a request sets the first. */
  async install() {
    const { document, location, fetch, WebSocket } = this;
    const addEventListener = (...listener) => this.addEventListener(...listener);
    Object.assign(globalThis, { document, location, fetch, WebSocket, addEventListener });
    await fetch(`${location.origin}/api/user/login`, { method: "POST" });
  }
}

const nodeFetch = globalThis.fetch;
const NodeWebSocket = globalThis.WebSocket;
