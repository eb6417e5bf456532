import { hostLabel, readName } from '../readers.js';
import { text } from '../schema.js';
import { ZONES } from '../zones.js';
import { keysOf } from './key.js';

const key = keysOf('Identity');

/** What the instance is called, and where it stands. */
export const IDENTITY_KEYS = {
  ASSISTANT_NAME: key(
    'clawdie',
    text(readName),
    'Name of the assistant that lives on the instance.',
    'It names the loopback of plain jails (<name>0) and the pf table <name>_jails; the bridge is always warden0.',
  ),
  HOSTNAME: key(
    '',
    text<string>((input) => {
      const good =
        input === '' || (input.length <= 253 && input.split('.').every((label) => hostLabel.test(label)));
      return good
        ? { value: input.toLowerCase() }
        : {
            message: 'must be a host name (RFC 1123): letters, digits and - in labels of 1 to 63',
            fix: 'write it as "agent.example.org"',
          };
    }),
    'Host name of the instance. Empty: ASSISTANT_NAME.',
  ),
  HOST: key(
    '',
    text<string>((input) =>
      input === '' || /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/.test(input)
        ? { value: input }
        : {
            message: 'must be the name of a machine: letters, digits, . _ and -',
            fix: 'write it as "rack1-7"',
          },
    ),
    'Machine that the instance shares with other deployments of a fleet. Empty: its own.',
    'Deployments of one machine must differ in ASSISTANT_NAME and in their nets.',
  ),
  TIMEZONE: key(
    'UTC',
    text<string>((input) => {
      const fix = 'write a name of the tz database, such as "UTC" or "Europe/Ljubljana"';
      if (ZONES.has(input)) return { value: input };
      const near = [...ZONES].find((zone) => zone.toLowerCase() === input.toLowerCase());
      return {
        message: `names no time zone that is known: ${input}`,
        fix: near === undefined ? fix : `write "${near}": upper and lower case count`,
      };
    }),
    'Time zone of the instance, by its name in the tz database.',
  ),
};
