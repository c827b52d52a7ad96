const { createHmac, randomUUID } = require("node:crypto");
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
let users = 0;

function code(uri) { // RFC 6238
  const bits = [...uri.split("secret=")[1]].map((digit) => DIGITS.indexOf(digit).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2))), time = Buffer.alloc(8);
  time.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000)));
  const mac = createHmac("sha1", key).update(time).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1e6).padStart(6, "0");
}
exports.begin = async ({ vars }) => Object.assign(vars, { name: "artillery-" + randomUUID().slice(0, 8), cookies: {} });
exports.keep = async (request, { headers, body }, { vars }) => {
  for (const line of headers["set-cookie"] ?? []) vars.cookies[line.split("=")[0]] = line.split(";")[0];
  const { data } = JSON.parse(body);
  if (data?.qr_url) vars.code = code(data.qr_url);
  vars.sold = data?.rev; // not a number where the change was refused
};
exports.watch = ({ vars }, events, done) => {
  const headers = { cookie: Object.values(vars.cookies).join("; ") };
  const socket = (vars.socket = new WebSocket(vars.target.replace("http", "ws") + "/ws", { headers }));
  socket.onopen = () => socket.send(JSON.stringify({ type: "hall.subscribe", data: { id: vars.hall }, eid: "watch" }));
  socket.onclose = () => vars.left || exports.watch({ vars }, events, done); // such as 4001, right after the sign-in
  socket.onmessage = ({ data: text }) => {
    const { status, data } = JSON.parse(text);
    vars.seat ??= data.seats[users++ % data.seats.length].id;
    vars.rev = data.rev ?? vars.rev;
    vars.seen = data.seats?.find(({ id }) => id === vars.seat)?.status ?? vars.seen;
    if (status === "snapshot") vars.watching ??= (done(), true);
  };
};
exports.verify = ({ vars }, events, done, begun = performance.now()) => {
  const passed = performance.now() - begun;
  if (vars.rev < vars.sold && passed < 10000) return setTimeout(exports.verify, 1, { vars }, events, done, begun);
  events.emit("histogram", "seatsync.update", passed);
  if (vars.rev >= vars.sold && vars.seen === vars.$loopElement) return done();
  exports.leave({ vars });
  done(new Error(`seat ${vars.seat} was not seen ${vars.$loopElement}`));
};
exports.leave = async ({ vars }) => { vars.left = true; vars.socket.close(); };
