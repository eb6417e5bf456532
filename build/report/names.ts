/** Names of what is written beside the images of a deployment. */
export interface PaperNames {
  readonly record: string;
  readonly report: string;
  readonly sbom: string;
  readonly provenance: string;
}

const SBOM = '.cdx.json';
const PROVENANCE = '.provenance.json';

/** @param stem the name of an image without what its format is told by (stemOf()) */
export function paperNames(stem: string): PaperNames {
  return {
    record: `${stem}.json`,
    report: `${stem}.html`,
    sbom: `${stem}${SBOM}`,
    provenance: `${stem}${PROVENANCE}`,
  };
}

/** Whether a file is one of those whose sums are listed, and so signed, beside those of the images: same inputs, same bytes. */
export function isListedPaper(name: string): boolean {
  return name.endsWith(SBOM) || isProvenance(name);
}

export function isProvenance(name: string): boolean {
  return name.endsWith(PROVENANCE);
}
