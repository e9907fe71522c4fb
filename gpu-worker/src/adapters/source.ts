/** One version of an adapter, found at a source and present on this machine's disk. */
export interface AdapterFolder {
  readonly id: string;
  /** Empty for a local folder without versions. */
  readonly revision: string;
  /** Real path of the folder with adapter_config.json and adapter_model.safetensors. */
  readonly directory: string;
  /** Where it comes from, for people; no credentials and no path of this machine. */
  readonly source: string;
  /** The digest that the content must have, where it was recorded when it was fetched. */
  readonly digest?: string;
  /** Set where it had to be fetched for this very caller. */
  readonly fetched?: true;
}
