import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { AdapterRef, QosOptions, ResponseOptions, RoutingOptions, StoppingOptions } from "@polygraft/api";
import { invalidField } from "../failure.js";
import type { Failure } from "../failure.js";

/** What a router reads of a `GenerateRequest`. The prompt is measured, never decoded. */
export interface RequestHead {
  readonly requestId: string;
  readonly model: string;
  readonly adapter: AdapterRef | undefined;
  readonly routing: RoutingOptions;
  readonly qos: QosOptions;
  /** About how many tokens the request can need: prompt, and the output that it allows. */
  readonly tokens: number;
  /** Whether token ids are in the stream. Without them nobody knows where to go on. */
  readonly showsTokens: boolean;
}

/** Field numbers of `GenerateRequest`. */
const field = { requestId: 1, model: 2, adapter: 3, text: 4, tokenIds: 5, chat: 6, stopping: 8, response: 9, routing: 12, qos: 13 } as const;

const lengthDelimited = 2;

/** The contract's bound of `qos.priority`, both ways. */
const maxPriority = 100;

/** The contract's default of `max_tokens`. */
const defaultMaxTokens = 256;

/** Bytes of text that make about one token, and bytes of one varint token id. Good enough to compare loads. */
const bytesPerToken = { [field.text]: 4, [field.chat]: 4, [field.tokenIds]: 2 };

/**
 * Reads the head of a serialized `GenerateRequest`. As everywhere in protobuf, the last occurrence of a field counts.
 *
 * @throws if the bytes are not protobuf.
 */
export function readRequestHead(message: Uint8Array): RequestHead {
  const reader = new BinaryReader(message);
  let requestId = "";
  let model = "";
  let adapter: AdapterRef | undefined;
  let routing: RoutingOptions | undefined;
  let qos: QosOptions | undefined;
  let maxTokens: number | undefined;
  let promptTokens = 0;
  let showsTokens = true;
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (wireType !== lengthDelimited) {
      reader.skip(wireType, number);
      continue;
    }
    switch (number) {
      case field.requestId:
        requestId = reader.string();
        break;
      case field.model:
        model = reader.string();
        break;
      case field.adapter:
        adapter = AdapterRef.decode(reader.bytes());
        break;
      case field.text:
      case field.chat:
      case field.tokenIds:
        promptTokens = Math.ceil(reader.bytes().length / bytesPerToken[number]);
        break;
      case field.stopping:
        maxTokens = StoppingOptions.decode(reader.bytes()).maxTokens;
        break;
      case field.response:
        showsTokens = ResponseOptions.decode(reader.bytes()).tokenIds ?? true;
        break;
      case field.routing:
        routing = RoutingOptions.decode(reader.bytes());
        break;
      case field.qos:
        qos = QosOptions.decode(reader.bytes());
        break;
      default:
        reader.skip(wireType, number);
    }
  }
  const tokens = promptTokens + (maxTokens ?? defaultMaxTokens);
  return { requestId, model, adapter, routing: routing ?? RoutingOptions.create(), qos: qos ?? QosOptions.create(), tokens, showsTokens };
}

/** What is wrong with the fields that a router uses, if anything. The worker checks the rest. */
export function checkRequestHead(head: RequestHead): Failure | undefined {
  if (!/^[\x20-\x7e]{0,128}$/.test(head.requestId)) {
    return invalidField("request_id", "must have at most 128 bytes of printable ASCII");
  }
  if (Math.abs(head.qos.priority ?? 0) > maxPriority) {
    return invalidField("qos.priority", `must be from -${maxPriority} to ${maxPriority}`);
  }
  if (head.adapter?.id === "") {
    return invalidField("adapter.id", "must not be empty; leave the adapter out to use the base alone");
  }
  if (head.adapter !== undefined && Buffer.byteLength(head.adapter.id) > 512) {
    return invalidField("adapter.id", "must have at most 512 bytes");
  }
  return undefined;
}

/** Bytes that, appended to a serialized `GenerateRequest`, have its `qos` name another tenant. */
export function tenantField(qos: QosOptions, tenant: string): Uint8Array {
  const own = QosOptions.encode({ ...qos, tenant }).finish();
  return new BinaryWriter().uint32((field.qos << 3) | lengthDelimited).bytes(own).finish();
}

/** Bytes that, appended to a serialized `GenerateRequest`, set its `request_id`. */
export function requestIdField(requestId: string): Uint8Array {
  return new BinaryWriter().uint32((field.requestId << 3) | lengthDelimited).string(requestId).finish();
}
