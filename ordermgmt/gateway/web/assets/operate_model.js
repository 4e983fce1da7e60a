/** From what the supervisors answer to what the page says. No elements, no requests, no clock of its own. */

/**
 * @typedef {{name: string, worker: string, state: string, since: number, restarts: number, pid: number | null, error: string | null,
 *   reason: string | null, addresses: Record<string, string>, own: boolean, where: string}} Service
 * `own`: it has a process of its own. A service with several workers is there once for each.
 * @typedef {{caller: string, service: string, what: string, window: number, rate: number, ok: number, refused: number,
 *   failed: number, cancelled: number, p50: number | null, p95: number | null, p99: number | null,
 *   counts: number[]}} Edge
 * @typedef {{caller: string, service: string, rates: number[], failures: number[], slow: (number | null)[]}} Line
 * @typedef {{services: Service[], edges: Edge[], bounds: number[], certificates: any[], trust: any[], issuers: any[],
 *   journal: any, away: string[], samples: any[], sources: number}} Model
 */

export const LOOKS = 90;
const DAY = 86_400;

/** How bad a state is, as a look, and in words. */
const STATES = /** @type {Record<string, [string, string]>} */ ({
  running: ["good", "running"],
  starting: ["warn", "starting"],
  waiting: ["warn", "waiting to start"],
  backing_off: ["wrong", "down, starts again"],
  draining: ["warn", "finishing"],
  stopped: ["wrong", "stopped"],
  failed: ["wrong", "failed"],
  silent: ["wrong", "does not answer"],
});

/** @param {{state: string, reason: string | null}} service @returns {[string, string]} look and words */
export function stateOf({ state, reason }) {
  if (state === "running" && reason) return ["warn", "not ready"];
  return STATES[state] ?? ["wrong", state];
}

/**
 * Put the answers of all supervisors together.
 * @param {{supervisors: {address: string, report: any}[]}} seen
 * @returns {Model}
 */
export function modelOf(seen) {
  const reports = seen.supervisors.filter(({ report }) => report);
  const all = (/** @type {string} */ name) => reports.flatMap(({ report }) => report[name] ?? []);
  return {
    services: reports.flatMap(({ address, report }) => report.services.map((/** @type {any} */ service) => ({
      ...service,
      worker: service.worker ?? service.name,
      own: service.pid !== report.pid,
      where: address,
    }))),
    edges: all("edges"),
    bounds: reports[0]?.report.bounds ?? [],
    certificates: unique(all("certificates"), ({ name, not_after: end }) => `${name} ${end}`),
    trust: unique(all("trust"), ({ caller, service }) => `${caller} ${service}`),
    issuers: all("issuers"),
    journal: reports.map(({ report }) => report.journal).find(Boolean) ?? null,
    away: seen.supervisors.filter(({ report }) => !report).map(({ address }) => address),
    samples: reports.map(({ address, report }) => ({ address, sample: report.sample })),
    sources: seen.supervisors.length,
  };
}

/** @template T @param {T[]} list @param {(one: T) => string} keyOf @returns {T[]} */
function unique(list, keyOf) {
  return [...new Map(list.map((one) => [keyOf(one), one])).values()];
}

/** What is known while the gateway does not answer: all as it was, but for the gateway. @param {Model} model @returns {Model} */
export function silenced(model) {
  return { ...model, services: model.services.map((one) => (one.name === "gateway" ? { ...one, state: "silent" } : one)) };
}

/** The key of an edge. @param {{caller: string, service: string, what: string}} edge */
export function edgeKey({ caller, service, what }) {
  return `${caller}>${service}>${what}`;
}

/** What was seen of each edge over time, filled from the history and then from each new sample. */
export class Lines {
  constructor() {
    /** @type {Map<string, {rates: number[], failures: number[], slow: (number | null)[]}>} */
    this.lines = new Map();
    /** @type {Map<string, number>} */
    this.last = new Map();
  }

  /** @param {string} address @param {any} sample */
  add(address, sample) {
    if (!sample || sample.number === this.last.get(address)) return;
    this.last.set(address, sample.number);
    for (const [caller, service, what, rate, failures, , p95] of sample.edges) {
      const key = edgeKey({ caller, service, what });
      const line = this.lines.get(key) ?? { rates: [], failures: [], slow: [] };
      this.lines.set(key, line);
      push(line.rates, rate);
      push(line.failures, failures);
      push(line.slow, p95);
    }
  }

  /** @param {string} key */
  of(key) {
    return this.lines.get(key) ?? { rates: [], failures: [], slow: [] };
  }
}

/** @template T @param {T[]} list @param {T} value */
function push(list, value) {
  list.push(value);
  if (list.length > LOOKS) list.shift();
}

/**
 * Add up all that is asked of one service by another.
 * @param {Edge[]} edges @param {string} caller @param {string} service @param {number[]} bounds
 */
export function between(edges, caller, service, bounds) {
  const found = edges.filter((edge) => edge.caller === caller && edge.service === service);
  if (!found.length) return null;
  const counts = found.reduce((sum, edge) => sum.map((count, place) => count + edge.counts[place]), Array(bounds.length + 1).fill(0));
  const total = (/** @type {"rate" | "failed" | "cancelled"} */ name) => found.reduce((sum, edge) => sum + edge[name], 0);
  return { rate: total("rate"), failed: total("failed") + total("cancelled"), p95: percentile(counts, 0.95, bounds) };
}

/**
 * As the supervisors estimate it: within a bucket, requests are spread evenly.
 * @param {number[]} counts @param {number} share @param {number[]} bounds
 */
export function percentile(counts, share, bounds) {
  const wanted = counts.reduce((sum, count) => sum + count, 0) * share;
  if (!wanted) return null;
  let lower = 0;
  let seen = 0;
  for (const [place, bound] of bounds.entries()) {
    if (seen + counts[place] >= wanted) return lower + ((bound - lower) * (wanted - seen)) / counts[place];
    lower = bound;
    seen += counts[place];
  }
  return bounds[bounds.length - 1];
}

/**
 * What is wrong now, worst first; empty if nothing is.
 * @param {Model} model @param {any} accounts @param {number} now in seconds
 * @returns {{look: string, text: string}[]}
 */
export function troubles(model, accounts, now) {
  const found = [];
  for (const service of model.services) {
    const [look, words] = stateOf(service);
    if (look === "good") continue;
    const why = service.state === "running" ? service.reason : service.error;
    found.push({ look, text: `${service.worker} is ${words}${why ? `: ${why}` : ""}` });
  }
  for (const address of model.away) found.push({ look: "wrong", text: `The supervisor at ${address} does not answer` });
  if (model.journal?.stuck) {
    found.push({ look: "wrong", text: `${counted(model.journal.stuck, "change")} of orders ${model.journal.stuck === 1 ? "waits" : "wait"} for a retry` });
  }
  if (accounts?.settled && accounts.goods.some((/** @type {any} */ good) => good.missing)) {
    found.push({ look: "wrong", text: "Stock and orders do not agree" });
  }
  for (const { name, not_after: end, problem } of model.certificates) {
    if (problem) found.push({ look: "wrong", text: `The certificate of ${name} cannot be read: ${problem}` });
    else if (end - now < 7 * DAY) found.push({ look: end < now ? "wrong" : "warn", text: `The certificate of ${name} ends ${end < now ? "in the past" : `in ${spell(end - now)}`}` });
  }
  for (const { service, keys } of model.issuers) {
    if (!keys) found.push({ look: "wrong", text: `${service} has no keys to verify tokens with` });
  }
  for (const edge of model.edges) {
    const failed = edge.failed + edge.cancelled;
    if (failed) found.push({ look: "warn", text: `${counted(failed, "request")} from ${edge.caller || "clients"} to ${edge.service} (${edge.what}) failed in the last minute` });
  }
  return found.sort((one, other) => Number(other.look === "wrong") - Number(one.look === "wrong"));
}

/**
 * What became of services between two models, in words.
 * @param {Model | null} before @param {Model} now
 * @returns {string[]}
 */
export function changes(before, now) {
  if (!before) return [];
  const old = new Map(before.services.map((service) => [`${service.where} ${service.worker}`, service]));
  return now.services.flatMap((service) => {
    const was = old.get(`${service.where} ${service.worker}`);
    if (!was) return [];
    const [look, words] = stateOf(service);
    const restarted = service.restarts > was.restarts;
    const why = service.error && (restarted || service.error !== was.error || look === "wrong") ? `: ${service.error}` : "";
    if (!restarted && stateOf(was)[1] === words) return [];
    if (look === "good") return [service.restarts ? `${service.worker} runs again, after restart ${service.restarts}${why}` : `${service.worker} runs`];
    return [`${service.worker} is ${words}${why}`];
  });
}

/** @param {number} seconds */
export function spell(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 2 * DAY) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / DAY)} days`;
}

/** @param {number | null} seconds */
export function duration(seconds) {
  if (seconds === null) return "–";
  if (seconds >= 1) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const milliseconds = seconds * 1000;
  return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}

/** @param {number} rate per second */
export function perSecond(rate) {
  if (!rate) return "0/s";
  return rate < 0.1 ? "<0.1/s" : `${rate.toFixed(rate < 10 ? 1 : 0)}/s`;
}

/** @param {number} count @param {string} noun */
export function counted(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
