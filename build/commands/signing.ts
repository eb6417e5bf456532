import { resolve as resolvePath } from 'node:path';
import type { Config } from '../config/keys.js';
import { readPublicKeys } from '../config/readers.js';
import { InputError } from '../error.js';
import { hasPrivateHalf, sign, verify } from '../host/ssh-sign.js';
import { allowedSigners } from '../overlay/signers.js';
import type { Signing } from '../pipeline/deploy.js';
import { readOr, shownPath } from './configuration.js';

/**
 * The public key that SIGN_KEY names.
 *
 * @throws InputError if the file holds none, or more than one.
 */
export async function readSignKey(config: Config, folder: string): Promise<string | undefined> {
  if (config.SIGN_KEY === undefined) return undefined;
  const path = resolvePath(folder, config.SIGN_KEY);
  const text = await readOr(path, (why) => [
    `SIGN_KEY: ${shownPath(path)} cannot be read: ${why}.`,
    'Check the path; relative ones begin at the folder of the configuration.',
  ]);
  const keys = readPublicKeys(text);
  const fix = 'Name the .pub file of the key; its private half stays in ssh-agent, or in the file beside it.';
  if (!('value' in keys)) throw new InputError(`SIGN_KEY: ${shownPath(path)} ${keys.message}.`, fix);
  const [key, other] = keys.value;
  if (key === undefined || other !== undefined)
    throw new InputError(`SIGN_KEY: ${shownPath(path)} has to hold one public key.`, fix);
  return key;
}

/**
 * Sees to it that what SIGN_KEY names can sign, before anything is built.
 *
 * @throws InputError if the private half is nowhere.
 */
export async function needPrivateHalf(config: Config, folder: string, publicKey: string): Promise<void> {
  const path = resolvePath(folder, config.SIGN_KEY ?? '');
  if (!(await hasPrivateHalf(path, publicKey)))
    throw new InputError(
      `SIGN_KEY: the private half of ${shownPath(path)} is neither in the file beside it nor in ssh-agent.`,
      'Put it into ssh-agent (ssh-add -L lists what it has), or beside the .pub file under the same name without .pub.',
    );
}

/** Name of a deployment as its slots have it: an instance takes those of its own alone. */
export function deploymentName({ ASSISTANT_NAME, HOST }: Config): string {
  return HOST === '' ? ASSISTANT_NAME : `${ASSISTANT_NAME}.${HOST}`;
}

/**
 * How images of a deployment are signed; undefined where it has no SIGN_KEY.
 *
 * @param publicKey that of SIGN_KEY
 * @param note hears what the key waits for
 * @throws InputError if there is no serial.
 */
export function signingOf(
  config: Config,
  folder: string,
  environment: NodeJS.ProcessEnv,
  publicKey: string | undefined,
  note?: (text: string) => void,
): Signing | undefined {
  const { SIGN_KEY: key, SERIAL: given } = config;
  if (key === undefined || publicKey === undefined) return undefined;
  const epoch = environment['SOURCE_DATE_EPOCH'] ?? '';
  const serial = given ?? (/^\d{1,10}$/.test(epoch) ? Number(epoch) : undefined);
  if (serial === undefined)
    throw new InputError(
      'SIGN_KEY needs a serial, by which instances know an older overlay from a newer one.',
      'Set SERIAL, or SOURCE_DATE_EPOCH: SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)',
    );
  const path = resolvePath(folder, key);
  return {
    identity: { deployment: deploymentName(config), serial },
    sign: (namespace, data) => sign(path, namespace, data, note),
    holds: async (namespace, data, signature) =>
      (await verify(allowedSigners([publicKey]), namespace, data, signature)) !== undefined,
  };
}
