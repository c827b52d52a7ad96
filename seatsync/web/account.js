/** Signing in, registering, recovery, own sessions and signing out. */

import { $, h, write } from "/web/dom.js";
import { clock, device } from "/web/words.js";

const dialog = $("dialog");

export class Account {
  constructor(seats) {
    this.seats = seats;
    this.user = null;
    this.wasSignedOut = false; // by the server, not by oneself
    $("sign-in").addEventListener("click", () => this.askName());
    dialog.addEventListener("close", () => dialog.replaceChildren());
  }

  /** Show who is signed in, `null` while that is not known; returns whether that is somebody else than before. */
  show(user) {
    if (user === null || JSON.stringify(user) === JSON.stringify(this.user)) return false;
    if (user.status === "guest" && this.user?.status === "user") this.wasSignedOut = !this.leaving;
    if (user.status === "user") this.wasSignedOut = false;
    this.leaving = false;
    this.user = user;
    const isUser = user.status === "user";
    $("sign-in").hidden = isUser;
    $("account").hidden = !isUser;
    if (isUser) write($("account"), `${user.username} · ${user.role}`);
    if (isUser) this.#menu();
    return true;
  }

  get mayWrite() {
    return ["operator", "admin"].includes(this.user?.role);
  }

  #menu() {
    const item = (text, action) => h("button", { type: "button", onclick: () => ($("account-menu").hidePopover(), action()) }, text);
    $("account-menu").replaceChildren(item("Sessions…", () => this.#showSessions()),
      item("Recovery phrase…", () => this.#askPhraseCode()), item("Sign out", () => this.#signOut()));
  }

  async #signOut() {
    this.leaving = true;
    await this.seats.logout().catch((error) => show({ title: "Sign out", lead: error.message }));
  }

  // -- signing in

  askName(username = "") {
    const name = field("Name", { name: "username", value: username, autocomplete: "username", required: true, autocapitalize: "none" });
    show({
      title: "Sign in",
      lead: "New here? Enter the name you would like to have.",
      fields: [name],
      submit: "Next",
      links: [["Lost your authenticator?", () => this.#askRecovery(name.input.value)]],
      act: async ({ username }) => {
        const answer = await this.seats.authStart(username);
        if (answer.status === "candidate") this.#enrol(answer, "Register");
        else this.#askCode(username);
      },
    });
  }

  #askCode(username) {
    show({
      title: `Sign in as ${username}`,
      lead: "Enter the six digits that your authenticator app shows.",
      fields: [codeField()],
      submit: "Sign in",
      links: [["Another name", () => this.askName(username)], ["Lost your authenticator?", () => this.#askRecovery(username)]],
      act: async ({ code }) => {
        await this.seats.login(username, code);
        dialog.close();
      },
    });
  }

  /** A new authenticator, of a new user or of one who has recovered. */
  #enrol({ username, qr_code, qr_url }, verb) {
    const key = qr_url.slice(qr_url.indexOf("secret=") + "secret=".length);
    show({
      title: `${verb} ${username}`,
      lead: "Scan this with an authenticator app, then enter the six digits that it shows.",
      fields: [
        h("img", { src: qr_code, alt: "QR code for an authenticator app", class: "qr" }),
        h("p", { class: "key" }, "Or type this key: ", h("code", {}, key.replace(/(.{4})(?=.)/g, "$1 "))),
        codeField(),
      ],
      submit: verb,
      links: [["Another name", () => this.askName(username)]],
      act: async ({ code }) => {
        await this.seats.register(username, code);
        dialog.close();
      },
    });
  }

  #askRecovery(username) {
    show({
      title: "Recover",
      lead: "Enter the five words of your recovery phrase. You then enrol a new authenticator, and all sessions end.",
      fields: [
        field("Name", { name: "username", value: username, autocomplete: "username", required: true }),
        field("Recovery phrase", { name: "phrase", autocomplete: "off", required: true, autocapitalize: "none" }),
      ],
      submit: "Next",
      links: [["Back", () => this.askName(username)]],
      act: async ({ username, phrase }) => this.#enrol(await this.seats.recover(username, phrase), "Recover"),
    });
  }

  // -- signed in

  #askPhraseCode() {
    show({
      title: "Recovery phrase",
      lead: "It lets you in when the authenticator is lost. Enter a code that you have not used yet to get a new one.",
      fields: [codeField()],
      submit: "Show it",
      act: async ({ code }) => {
        const { phrase } = await this.seats.call("user.recovery_phrase", { code });
        show({
          title: "Write this down",
          lead: "It is shown once. Type it to prove that you have kept it: only then it is in force.",
          fields: [h("p", { class: "phrase" }, phrase), field("Recovery phrase", { name: "phrase", autocomplete: "off", required: true, autocapitalize: "none" })],
          submit: "Save",
          act: async (given) => {
            await this.seats.call("user.save_recovery_phrase", { phrase: given.phrase.trim() });
            show({ title: "Saved", lead: "The recovery phrase is in force." });
          },
        });
      },
    });
  }

  /** Own sessions, once some have ended: `{ids}` those, `{}` all others. */
  async #showSessions(ending) {
    let sessions;
    try {
      if (ending) await this.seats.call("user.end_sessions", ending);
      sessions = await this.seats.call("user.sessions");
    } catch (error) {
      return show({ title: "Sessions", lead: error.message });
    }
    const own = sessions.filter(({ current }) => current);
    const others = sessions.filter(({ current }) => !current);
    const row = ({ id, current, last_seen_at, address, user_agent }) => h("li", {},
      h("span", {}, current ? "This one" : `Last seen ${clock(last_seen_at)}`),
      h("small", {}, [address, user_agent && device(user_agent)].filter(Boolean).join(", ") || "not used yet"),
      !current && h("button", { type: "button", onclick: () => this.#showSessions({ ids: [id] }) }, "End"));
    const endAll = h("button", { type: "button", onclick: () => this.#showSessions({}) }, "End all others");
    return show({
      title: "Sessions",
      lead: others.length ? "Devices on which you are signed in." : "You are signed in on this device only.",
      fields: [h("ul", { class: "sessions" }, ...[...own, ...others].map(row)), others.length > 1 && endAll],
    });
  }
}

/** A labelled input. */
function field(label, attributes) {
  const input = h("input", attributes);
  const element = h("label", {}, label, input);
  element.input = input;
  return element;
}

/** Six digits; the last of them submits. */
function codeField() {
  return field("Code", {
    name: "code", inputmode: "numeric", autocomplete: "one-time-code", maxlength: 7, required: true, pattern: "\\d{3}[ \\-]?\\d{3}",
    oninput: ({ target }) => /^\d{6}$/.test(target.value) && target.form.requestSubmit(),
  });
}

/**
 * Show one step in the dialog. `act` gets the fields' values when the form is submitted; what it throws is shown, and the
 * step stays. Without `submit` there is only a way out.
 */
export function show({ title, lead, fields = [], submit, act, links = [] }) {
  const problem = h("p", { class: "problem", role: "alert" });
  const button = submit && h("button", { class: "main" }, submit);
  const close = h("button", { type: "button", onclick: () => dialog.close() }, submit ? "Cancel" : "Close");
  const form = h("form", { novalidate: true },
    h("h2", { id: "dialog-title" }, title), lead && h("p", {}, lead), ...fields, problem, h("div", { class: "row" }, button, close),
    ...links.map(([text, action]) => h("button", { type: "button", class: "link", onclick: action }, text)));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!act || button.disabled) return;
    button.disabled = true;
    write(problem, "");
    try {
      await act(Object.fromEntries(new FormData(form)));
    } catch (error) {
      write(problem, error.retryAfter ? `${error.message} (${Math.ceil(error.retryAfter)} s)` : error.message);
      form.querySelector("[name=code]")?.select();
    }
    button.disabled = false;
  });
  dialog.replaceChildren(form);
  if (!dialog.open) dialog.showModal();
  (form.querySelector("input") ?? close).focus();
}
