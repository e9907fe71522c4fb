import type { Socket } from "node:net";
import { WorkerState } from "@polygraft/api";
import { readCaller, readPort } from "./access/caller-headers.js";
import { TokenIssuer } from "./access/token-issuer.js";
import type { TokenOptions } from "./access/token-issuer.js";
import { sequencesOf } from "./admission/capacity.js";
import { Crowding } from "./admission/crowding.js";
import { ApiKeys } from "./admission/api-keys.js";
import { reloadKeys } from "./admission/reload-keys.js";
import { ModelAdmission } from "./admission/model-admission.js";
import { ReadingLimit } from "./admission/reading-limit.js";
import { RouterAdapterService } from "./control/adapter-service.js";
import { Catalog } from "./catalog/catalog.js";
import { openCertificates } from "./certificates.js";
import { WorkerClients } from "./control/worker-clients.js";
import { startControlServer } from "./control/control-server.js";
import { RouterHealth } from "./control/health.js";
import { Breakers } from "./dispatch/breakers.js";
import { Candidates } from "./dispatch/candidates.js";
import { RetryBudget } from "@polygraft/placement";
import { HandOver } from "./dispatch/hand-over.js";
import { serveFollow } from "./direct/follow.js";
import { draining, RouterPolicy } from "./dispatch/router-policy.js";
import { Fleet } from "./fleet/fleet.js";
import { serveJoin } from "./fleet/join.js";
import { watchFleet } from "./fleet/watch.js";
import { formatAddress, splitAddress } from "./relay/address.js";
import { Http2Relay } from "./relay/http2-relay.js";
import { resolveOptions } from "./options.js";
import type { ProcessPorts } from "./processes/process-ports.js";
import { seldom } from "./seldom.js";
import type { ResolvedRouterOptions, RouterOptions } from "./options.js";
import type { Timers } from "./timers.js";

/** A router that runs. */
export interface Router {
  /** Where it listens, as "host:port". */
  readonly address: string;
  /** The workers that have joined. */
  readonly fleet: Fleet;
  /** Takes a client's connection that was accepted elsewhere. */
  accept(socket: Socket): void;
  /** Accepts nothing new, lets running streams end for as long as `drainSeconds` allows, then closes. */
  drain(): Promise<void>;
  /** Ends everything now. */
  close(): Promise<void>;
}

/**
 * Starts a router.
 *
 * @param processes set if it is one of several processes: what comes at another port than its own is shared by all, and
 * workers that join there are shown the way to each.
 * @throws if the address is taken, an option is out of its range, or the file of API keys or a certificate cannot be read.
 */
export async function startRouter(options: RouterOptions = {}, processes?: ProcessPorts): Promise<Router> {
  const resolved = resolveOptions(options);
  const { timers, log } = resolved;
  const apiKeys = resolved.apiKeysFile === undefined ? undefined : await ApiKeys.read(resolved.apiKeysFile);
  const certificates = await openCertificates(resolved.certificates, timers, log);
  const tokens = await TokenIssuer.start(tokenOptions(resolved, apiKeys !== undefined), timers);
  const fleet = new Fleet();
  const catalog = new Catalog();
  const candidates = new Candidates(fleet, catalog, resolved.placement);
  const health = new RouterHealth(fleet);
  const workers = new WorkerClients(certificates);
  const adapters = new RouterAdapterService({ catalog, candidates, workers, tokens });
  const crowding = new Crowding(timers);
  const following = { fleet, catalog, policy: resolved.placement, tokens, crowding, timers };
  const { name, heartbeatMillis } = resolved;
  const needsTls = resolved.certificates.workerCa !== undefined;
  const joining = { router: name, heartbeatMillis, tokens, needsTls };
  const control = await startControlServer(
    {
      adapters,
      health: health.state,
      direct: {
        follow(requests, context) {
          context.abortOnTerminate();
          return serveFollow(requests, readCaller(context.metadata), following, context.signal);
        },
      },
      fleet: {
        join(requests, context) {
          const isShared = processes !== undefined && readPort(context.metadata) !== processes.own;
          if (!isShared) return serveJoin(requests, context, fleet, joining, timers, log);
          context.abortOnTerminate();
          return processes.show(requests, context.signal);
        },
        watchFleet(request, context) {
          context.abortOnTerminate();
          return watchFleet(request, context.signal, fleet, timers);
        },
      },
    },
    log,
    apiKeys,
  );
  const { maxStreams, maxQueue } = resolved;
  const reading = new ReadingLimit(maxStreams + maxQueue);
  const admission = new ModelAdmission(
    {
      running: (model) => Math.min(maxStreams, sequencesOf(fleet.total(model))),
      waiting: maxQueue,
      served: (model) => fleet.total(model) !== undefined,
      crowded: () => crowding.note(),
    },
    timers.now,
  );
  const breakers = new Breakers({ failures: resolved.breakerFailures, openMillis: resolved.breakerOpenMillis }, timers.now);
  const parts = { candidates, reading, admission, breakers, retries: new RetryBudget(), tokens, control: { name: "router", address: control.address }, log };
  const policy = new RouterPolicy(apiKeys === undefined ? parts : { ...parts, apiKeys });
  const handshakeFailed = seldom((fields) => log.warn("a client's TLS handshake failed", fields), timers);
  const { maxConnections } = resolved.relay;
  const connectionRefused = seldom((fields) => log.warn("a client's connection was refused: there are too many", { ...fields, maxConnections }), timers);
  const targetFailed = seldom((fields) => log.warn("a connection to a worker failed", fields), timers);
  const relay = new Http2Relay(policy, resolved.relay, timers, certificates, {
    bug: (error) => log.error("bug in the relay", { stack: String((error as Error).stack) }),
    handshakeFailed: (peer, reason) => handshakeFailed({ peer, reason }),
    connectionRefused: (peer) => connectionRefused({ peer }),
    targetFailed: (address, reason) => targetFailed({ address, reason }),
  });

  fleet.listen(catalog);
  fleet.listen(health);
  fleet.listen(new HandOver(fleet, candidates));
  fleet.listen({
    changed({ name, state, address, tally, wedged }) {
      // With requests in flight: it hangs, or its machine is gone. Its streams need not wait for TCP to find out.
      if (state !== WorkerState.SUSPECTED || tally.requests === 0) return;
      const what = wedged ? "worker takes no steps" : "worker is silent";
      log.warn(`${what}; its streams move on`, { worker: name, streams: tally.requests });
      relay.abandon(address);
    },
    left({ name, address }) {
      breakers.forget(name);
      relay.forget(address);
      workers.forget(address);
    },
  });
  const stopReloading = apiKeys === undefined ? () => {} : reloadKeys(apiKeys, resolved.apiKeysFile!, timers, log);
  const stopSweeping = sweepRegularly(fleet, resolved, timers);

  async function close(): Promise<void> {
    stopSweeping();
    stopReloading();
    tokens.close();
    crowding.close();
    certificates.close();
    workers.close();
    await relay.close();
    await control.close();
  }

  const { host, port } = splitAddress(resolved.listen);
  let address: string;
  try {
    const bound = await relay.listen(host, port);
    address = formatAddress(bound.host, bound.port);
    if (processes !== undefined) processes.own = bound.port;
  } catch (error) {
    await close();
    throw error;
  }
  return {
    address,
    fleet,
    accept: (socket) => relay.accept(socket),
    close,
    async drain() {
      health.stop();
      policy.drain();
      fleet.expelAll(draining);
      control.stop();
      await relay.drain(resolved.drainSeconds * 1000);
      await close();
    },
  };
}

/** How access tokens are made. A worker that has not heard of a new key in time is gone when it signs. */
function tokenOptions(options: ResolvedRouterOptions, required: boolean): TokenOptions {
  const { name, tokenSeconds, signingKeyHours, goneAfterMillis } = options;
  const noticeMillis = Math.max(tokenSeconds * 1000, goneAfterMillis);
  return { router: name, tokenSeconds, required, rotation: { keyMillis: signingKeyHours * 3_600_000, noticeMillis } };
}

/** Judges the silence of workers, twice a heartbeat. */
function sweepRegularly(fleet: Fleet, options: ResolvedRouterOptions, timers: Timers): () => void {
  let cancel = () => {};
  const next = () => {
    cancel = timers.after(options.heartbeatMillis / 2, () => {
      fleet.sweep(timers.now(), options);
      next();
    });
  };
  next();
  return () => cancel();
}
