import { readdir } from 'node:fs/promises';
import { basename, join, resolve as resolvePath } from 'node:path';
import type { Config } from '../config/keys.js';
import { parseNetwork4 } from '../config/net.js';
import { reports } from '../config/report.js';
import type { Finding } from '../config/report.js';
import { resolve } from '../config/resolve.js';
import { codeOf, InputError, messageOf, UserError, whyOf } from '../error.js';
import { readText } from '../host/files.js';
import { findConflicts } from '../fleet/conflicts.js';
import { sha256 } from '../host/hash.js';
import type { ExtraFiles } from '../overlay/extra.js';
import { renderOverlay } from '../overlay/render.js';
import type { OverlayEntry } from '../overlay/render.js';
import { makeView } from '../overlay/view.js';
import { LOCK_FILE, misfits } from '../packages/lockfile.js';
import type { Lock } from '../packages/lockfile.js';
import type { ImageProof } from '../policy/image.js';
import { Prover } from '../policy/symmetry.js';
import type { BaseRequest } from '../pipeline/base.js';
import type { Release } from '../release/source.js';
import { expandKeyFiles, overrides, readAuthKey, readOperatorRules, shownPath } from './configuration.js';
import type { LoadedConfig } from './configuration.js';
import { checkAddresses } from './environment.js';
import { readExtraFiles } from './extra.js';
import { readLock } from './lock-file.js';
import { subjectOf } from './lock-subject.js';
import { listOf, packagesOf } from './medium.js';
import { releaseOfConfig } from './release.js';
import { baseRequest, imageStem, imageTime } from './request.js';
import { programDigest, readOverlaySources, ruleFiles } from './rules.js';
import type { OverlaySources } from './rules.js';
import { readSignKey, signingOf } from './signing.js';
import type { Signing } from '../pipeline/deploy.js';

/** What all deployments of a folder share. */
export const COMMON = 'common.cfg';

/** A deployment of a fleet, read and validated. */
export interface Deployment {
  /** Its file without `.cfg`. */
  readonly name: string;
  readonly loaded: LoadedConfig;
  readonly authKey: string | undefined;
  readonly operatorRules: string | undefined;
  readonly extra: ExtraFiles | undefined;
  readonly signKey: string | undefined;
  readonly signing: Signing | undefined;
  readonly request: BaseRequest;
  /** Names of its images, without what tells the format. */
  readonly stem: string;
  /** SHA-256 over all that the image depends on. */
  readonly inputs: string;
}

type ReleaseOf = (config: Config, folder: string) => Promise<Release>;

export interface Fleet {
  readonly deployments: readonly Deployment[];
  readonly sources: OverlaySources;
  /** Versions of the host tools, by name. */
  readonly tools: Readonly<Record<string, string>>;
  /** Sentences about deployments that could be in each other's way. */
  readonly warnings: readonly string[];
}

/**
 * Reads all deployments of a folder: every `*.cfg`, each on top of `common.cfg` where there is one.
 *
 * @param releaseOf finds out which release a configuration means
 * @throws InputError with every problem of every file, and with what deployments are in each other's way with.
 */
export async function loadFleet(
  folder: string,
  set: readonly string[],
  environment: NodeJS.ProcessEnv,
  releaseOf: ReleaseOf = releaseOfConfig,
): Promise<Fleet> {
  const time = imageTime(environment);
  const path = resolvePath(folder);
  const files = await deploymentFiles(folder);
  const common = await readCommon(join(path, COMMON));
  checkAddresses(
    environment,
    files.map((file) => basename(file, '.cfg')),
    folder,
  );
  const problems = new Problems(common);
  const resolved: LoadedConfig[] = [];
  for (const file of files) {
    const name = shownPath(join(path, file));
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.cfg$/.test(file)) {
      problems.add(name, new UserError('Its name may have letters, digits, . _ and - alone.', 'Rename it.'));
      continue;
    }
    try {
      const text = await readText(join(path, file));
      const result = resolve({
        ...(common && { common }),
        file: { name, text },
        ...overrides(set, environment, basename(file, '.cfg')),
        expand: (key, value) => expandKeyFiles(key, value, path),
      });
      if (result.resolved)
        resolved.push({ ...result.resolved, path: join(path, file), folder: path, example: false });
      else problems.find(name, text, result.findings);
    } catch (error) {
      problems.add(name, error);
    }
  }
  const { deployments, sources, tools } = await complete(resolved, time, environment, problems, releaseOf);
  const conflicts = findConflicts(deployments.map(placed));
  for (const sentence of conflicts.refused) problems.say(sentence);
  problems.throwIfAny(files.length);
  return { deployments, sources, tools, warnings: conflicts.warned };
}

/**
 * The files of the deployments of a folder, sorted.
 *
 * @throws InputError if it has none, or cannot be read.
 */
export async function deploymentFiles(folder: string): Promise<readonly string[]> {
  const files = (
    await readdir(resolvePath(folder)).catch((error: unknown) => {
      throw new InputError(
        `The folder of deployments ${folder} cannot be read: ${whyOf(error)}.`,
        'Name a folder with one file <name>.cfg for each deployment.',
      );
    })
  )
    .filter((file) => file.endsWith('.cfg') && !file.startsWith('.') && file !== COMMON)
    .sort();
  if (files.length === 0)
    throw new InputError(
      `The folder ${folder} has no deployment.`,
      'Put a file <name>.cfg into it for each; build.cfg.example shows the keys.',
    );
  return files;
}

/** What deployments share; undefined where there is no such file. */
export async function readCommon(
  path: string,
): Promise<{ readonly name: string; readonly text: string } | undefined> {
  try {
    return { name: shownPath(path), text: await readText(path) };
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new InputError(`${shownPath(path)} cannot be read: ${whyOf(error)}.`);
  }
}

/** Finds out what else the deployments are made of: files that they name, releases, tools. */
async function complete(
  resolved: readonly LoadedConfig[],
  time: number,
  environment: NodeJS.ProcessEnv,
  problems: Problems,
  releaseOf: ReleaseOf,
): Promise<Omit<Fleet, 'warnings'>> {
  const [sources, program] = await Promise.all([readOverlaySources(), programDigest()]);
  let tools: Readonly<Record<string, string>> = {};
  const requests = new Map<string, { readonly release: Release; readonly request: BaseRequest }>();
  const lock = await lockOf(resolved);
  const releases = new Map<string, Promise<Release>>();
  const requestOf = async (loaded: LoadedConfig) => {
    const { config, folder } = loaded;
    const { FREEBSD_DIST, FREEBSD_VERSION, FREEBSD_MIRROR, ARCH, PROFILE } = config;
    // Deployments mostly have one release, which is read from a lock or a MANIFEST once.
    const { FREEBSD_MANIFEST_SHA256, FREEBSD_BASE_PACKAGES, FREEBSD_KEY_FILE } = config;
    const means = JSON.stringify([
      ...[folder, FREEBSD_DIST, FREEBSD_VERSION, FREEBSD_MIRROR, ARCH],
      ...[FREEBSD_MANIFEST_SHA256, FREEBSD_BASE_PACKAGES, FREEBSD_KEY_FILE],
    ]);
    const asked = releases.get(means) ?? releaseOf(config, folder);
    releases.set(means, asked);
    const release = await asked;
    const packages = await packagesOf(loaded, release, lock && lockFor(loaded, release, lock));
    const key = JSON.stringify([
      ...[FREEBSD_DIST, FREEBSD_VERSION, FREEBSD_MIRROR, release.id, ARCH, PROFILE],
      ...[packages?.medium.digest, packages?.room],
    ]);
    const known = requests.get(key);
    if (known) return known;
    const { request, tools: versions } = await baseRequest(config, release, time, packages);
    tools = versions;
    const made = { release, request };
    requests.set(key, made);
    return made;
  };
  const deployments: Deployment[] = [];
  for (const loaded of resolved) {
    const { config, folder } = loaded;
    const name = basename(loaded.path, '.cfg');
    try {
      const [authKey, operatorRules, extra] = [
        await readAuthKey(config, folder),
        await readOperatorRules(config, folder),
        await readExtraFiles(config, folder),
      ];
      const signKey = await readSignKey(config, folder);
      const signing = signingOf(config, folder, environment, signKey);
      const { release, request } = await requestOf(loaded);
      deployments.push({
        ...{ name, loaded, authKey, operatorRules, extra, signKey, signing, request },
        stem: imageStem(name, release, config),
        inputs: sha256(
          JSON.stringify([
            program,
            request.keys.base,
            time,
            name,
            withoutPaths(config),
            authKey,
            operatorRules,
            ...digestible(extra),
            ...(signing ? [signKey, signing.identity] : []),
          ]),
        ),
      });
    } catch (error) {
      problems.add(shownPath(loaded.path), error);
    }
  }
  return { deployments, sources, tools };
}

/** The lock of a folder, as far as it can be read: what is wrong with it is said by those who build. */
async function lockOf([first]: readonly LoadedConfig[]): Promise<Lock | undefined> {
  const found = first && (await readLock(join(first.folder, LOCK_FILE)).catch(() => undefined));
  return found && 'lock' in found.parsed ? found.parsed.lock : undefined;
}

/** A lock, where it fits a deployment. */
function lockFor(loaded: LoadedConfig, release: Release, lock: Lock): Lock | undefined {
  return misfits(lock, subjectOf(loaded, release).subject).length === 0 ? lock : undefined;
}

/** A configuration without the names of files, what is in which counts: CI engines put secrets anywhere. */
function withoutPaths(config: Config): Partial<Config> {
  return {
    ...config,
    PF_RULES_FILE: undefined,
    TAILSCALE_AUTHKEY_FILE: undefined,
    EXTRA_FILES: undefined,
    SIGN_KEY: undefined,
    PUSH_TO: undefined,
  };
}

/** Files of one's own as JSON has them; nothing where there are none. */
function digestible(extra: ExtraFiles | undefined): readonly unknown[] {
  return extra ? [[...extra.bodies], [...extra.spec]] : [];
}

function placed({ loaded }: Deployment): Parameters<typeof findConflicts>[0][number] {
  const { config, settings } = loaded;
  return {
    file: shownPath(loaded.path),
    assistant: config.ASSISTANT_NAME,
    host: config.HOST,
    agentNet: settings.AGENT_NET.value,
    nets: makeView(config).tenants.flatMap(({ net }) => parseNetwork4(net) ?? []),
  };
}

/** Renders the overlay of a deployment. @throws UserError if a template asks for what is not there. */
export function render(
  { loaded, authKey, operatorRules, extra, signKey, request }: Deployment,
  sources: OverlaySources,
): readonly OverlayEntry[] {
  const packages = listOf(loaded.config, request.packages);
  const { config } = loaded;
  return renderOverlay({ config, authKey, operatorRules, extra, signKey, packages, ...sources });
}

/**
 * Renders and proves deployments, one after the other.
 *
 * @param onDone hears of each
 * @returns what each proof tried, by name
 * @throws InputError with the problems of all of them.
 */
export async function proveAll(
  deployments: readonly Deployment[],
  sources: OverlaySources,
  signal: AbortSignal,
  onDone: (count: number) => void,
): Promise<ReadonlyMap<string, ImageProof>> {
  const problems = new Problems(undefined);
  const proofs = new Map<string, ImageProof>();
  const prover = new Prover();
  for (const [index, deployment] of deployments.entries()) {
    signal.throwIfAborted();
    const { config } = deployment.loaded;
    try {
      const files = ruleFiles(render(deployment, sources));
      proofs.set(deployment.name, prover.prove(files, makeView(config), config.POLICY_EXCEPTIONS));
    } catch (error) {
      problems.add(shownPath(deployment.loaded.path), error);
    }
    onDone(index + 1);
    // Signals and progress have their turn between two.
    await new Promise(setImmediate);
  }
  problems.throwIfAny(deployments.length);
  return proofs;
}

/** Problems of many files, gathered: each is said once, those of the common file too. */
class Problems {
  private readonly files = new Set<string>();
  private readonly texts = new Set<string>();

  constructor(private readonly common: { readonly name: string; readonly text: string } | undefined) {}

  /** Findings in a file and in the common one. */
  find(name: string, source: string, findings: readonly Finding[]): void {
    this.files.add(name);
    const sources = { [name]: source, ...(this.common && { [this.common.name]: this.common.text }) };
    for (const text of reports(findings, sources)) this.texts.add(text);
  }

  /** @throws what is no UserError: a defect of the program */
  add(name: string, error: unknown): void {
    if (!(error instanceof UserError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
    this.files.add(name);
    const fix = error instanceof UserError && error.fix !== undefined ? `\n  fix: ${error.fix}` : '';
    this.texts.add(`${name}: ${messageOf(error)}${fix}`);
  }

  say(sentence: string): void {
    this.texts.add(sentence);
  }

  throwIfAny(of: number): void {
    if (this.texts.size === 0) return;
    const shown = [...this.texts].slice(0, 50);
    const more = this.texts.size - shown.length;
    const count = this.files.size === 0 ? '' : `${this.files.size} of ${of} deployments have problems. `;
    throw new InputError(
      `${count}Nothing was built.\n\n${shown.join('\n\n')}${more > 0 ? `\n\n… and ${more} more` : ''}\n`,
    );
  }
}
