import { loadAddon, type NativeAdapter, type NativeEngine, type NativeOptions } from "./addon.js";
import {
  EngineError,
  type Engine,
  type EngineInfo,
  type EngineLoad,
  type EngineRequest,
  type HostAdapter,
  type SequenceListener,
} from "./engine.js";
import { PROJECTIONS } from "./projections.js";
import { failureOf, toEngineError } from "./native-errors.js";
import { EVENT, LOAD_FIELDS, readLoad, ReportReader } from "./report-reader.js";

/** Progress of opening an engine: `done` of `total` bytes of `phase` ("read", "quantize", "pack"). */
export type OpenProgress = (phase: string, done: number, total: number) => void;

/**
 * Opens the native engine on a model folder. Takes seconds, on another thread.
 * @throws EngineError naming the option, config key or tensor at fault.
 */
export async function openNativeEngine(options: NativeOptions, onProgress?: OpenProgress): Promise<Engine> {
  try {
    return new AddonEngine(await loadAddon().open(options, onProgress));
  } catch (error) {
    throw toEngineError(error);
  }
}

/** An adapter in the addon's memory. */
class AddonAdapter implements HostAdapter {
  readonly native: NativeAdapter;
  readonly rank: number;
  readonly targetModules: readonly string[];
  readonly baseModel: string;
  readonly hostBytes: number;
  readonly deviceBytes: number;

  constructor(native: NativeAdapter) {
    const info = native.info();
    this.native = native;
    this.rank = info.rank;
    this.targetModules = PROJECTIONS.filter((_, bit) => (info.targetMask & (1 << bit)) !== 0);
    this.baseModel = info.baseModel;
    this.hostBytes = info.hostBytes;
    this.deviceBytes = info.deviceBytes;
  }

  close(): void {
    this.native.close();
  }
}

function nativeOf(adapter: HostAdapter): NativeAdapter {
  if (adapter instanceof AddonAdapter) return adapter.native;
  throw new EngineError("INVALID_ARGUMENT", "the adapter was opened by another kind of engine", "adapter");
}

/** Calls the addon; what it throws as errors of the engine. */
function translated<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw toEngineError(error);
  }
}

/** The engine behind the addon: hands each event of a report to the listener of its sequence. */
class AddonEngine implements Engine {
  readonly info: EngineInfo;
  readonly #native: NativeEngine;
  readonly #readers: readonly [ReportReader, ReportReader];
  readonly #listeners = new Map<number, SequenceListener>();
  readonly #stepCallbacks: ((load: EngineLoad) => void)[] = [];
  readonly #load = new Float64Array(LOAD_FIELDS);
  #nextId = 1;
  #closing: Promise<void> | undefined;

  constructor(native: NativeEngine) {
    const { bosTokenId, warning, ...info } = native.info();
    this.info = { ...info, ...(bosTokenId < 0 ? {} : { bosTokenId }), ...(warning === "" ? {} : { warning }) };
    this.#native = native;
    const layout = native.onReport((buffer, events) => this.#receive(buffer, events));
    const [first, second] = layout.buffers;
    this.#readers = [new ReportReader(first, layout), new ReportReader(second, layout)];
  }

  async openAdapter(directory: string): Promise<HostAdapter> {
    try {
      return new AddonAdapter(await this.#native.openAdapter(directory));
    } catch (error) {
      throw toEngineError(error);
    }
  }

  async attachAdapter(adapter: HostAdapter, digest = ""): Promise<number> {
    const native = nativeOf(adapter);
    try {
      return await this.#native.attachAdapter(native, digest);
    } catch (error) {
      throw toEngineError(error);
    }
  }

  parkAdapter(slot: number): void {
    translated(() => this.#native.parkAdapter(slot));
  }

  async resumeAdapter(adapter: HostAdapter, slot: number): Promise<void> {
    const native = nativeOf(adapter);
    try {
      await this.#native.resumeAdapter(native, slot);
    } catch (error) {
      throw toEngineError(error);
    }
  }

  detachAdapter(slot: number): void {
    if (this.#closing !== undefined) return; // all slots go with the engine
    translated(() => this.#native.detachAdapter(slot));
  }

  aliasAdapter(slot: number): number {
    return translated(() => this.#native.aliasAdapter(slot));
  }

  replaceAdapter(slot: number, by: number): void {
    translated(() => this.#native.replaceAdapter(slot, by));
  }

  submit(request: EngineRequest, listener: SequenceListener): number {
    const id = this.#nextId++;
    translated(() => this.#native.submit(id, request));
    // Reports come on this thread, so none can have come yet.
    this.#listeners.set(id, listener);
    return id;
  }

  cancel(id: number): void {
    if (this.#closing === undefined && this.#listeners.has(id)) this.#native.cancel(id);
  }

  load(): EngineLoad {
    if (this.#closing === undefined) this.#native.load(this.#load);
    return readLoad(this.#load);
  }

  onStep(callback: (load: EngineLoad) => void): void {
    this.#stepCallbacks.push(callback);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#native.close();
    const left = [...this.#listeners.values()];
    this.#listeners.clear();
    for (const listener of left) listener.failed(new EngineError("CANCELLED", "the engine was closed"));
  }

  #receive(buffer: 0 | 1, events: number): void {
    const reader = this.#readers[buffer];
    for (let event = 0; event < events; event++) {
      const id = reader.id(event);
      const listener = this.#listeners.get(id);
      if (listener === undefined) continue;
      try {
        this.#dispatch(reader, event, id, listener);
      } catch (error) {
        this.#drop(id, listener, error);
      }
    }
    const load = reader.load();
    for (const callback of this.#stepCallbacks) callback(load);
  }

  #dispatch(reader: ReportReader, event: number, id: number, listener: SequenceListener): void {
    switch (reader.kind(event)) {
      case EVENT.started:
        return listener.started(reader.value(event));
      case EVENT.promptScore:
        return listener.promptScore(reader.token(event), reader.logprob(event), reader.top(event));
      case EVENT.token:
        return listener.token(reader.token(event), reader.logprob(event), reader.top(event));
      case EVENT.replaced:
        return listener.replaced?.(reader.value(event));
      case EVENT.finished:
        this.#listeners.delete(id);
        return listener.finished(reader.finish(event));
      default:
        this.#listeners.delete(id);
        return listener.failed(failureOf(reader.value(event)));
    }
  }

  /** A listener threw: its sequence ends, the others of the step go on. */
  #drop(id: number, listener: SequenceListener, cause: unknown): void {
    if (!this.#listeners.delete(id)) return;
    this.#native.cancel(id);
    const message = cause instanceof Error ? cause.message : String(cause);
    listener.failed(new EngineError("INTERNAL", `a listener failed: ${message}`));
  }
}
