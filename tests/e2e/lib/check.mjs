// What the guarantees mean for what was received.

/** Throws unless @records (of one channel each) got exactly what @publisher's acknowledgements say:
 *  offsets first..top, each once, ascending, with the acknowledged message at each. */
export function checkComplete(publisher, records) {
  const problems = [];
  for (const channel of publisher.channels) {
    const log = publisher.logs.get(channel);
    const top = log.size;
    for (let offset = 1; offset <= top; offset++)
      if (!log.has(offset)) problems.push(`${channel}: no acknowledgement has offset ${offset}`);
    if (publisher.epochs.get(channel).size > 1)
      problems.push(`${channel}: epochs ${[...publisher.epochs.get(channel)].join(', ')}`);
  }
  for (const record of records) {
    const log = publisher.logs.get(record.channel);
    const who = `${record.owner ?? 'subscriber'} of ${record.channel}`;
    for (const fault of record.faults) problems.push(`${who}: ${fault}`);
    for (const end of record.ends) problems.push(`${who}: unsubscribed ${end.code} ${end.reason}`);
    if (record.got.length !== log.size)
      problems.push(`${who}: got ${record.got.length} of ${log.size}`);
    record.got.forEach(([offset, data], i) => {
      if (offset !== i + 1) problems.push(`${who}: message ${i + 1} has offset ${offset}`);
      if (data.id !== log.get(offset))
        problems.push(`${who}: ${offset} is ${data.id}, acknowledged was ${log.get(offset)}`);
    });
    for (const start of record.starts.slice(1))
      if (!start.wasRecovering || !start.recovered)
        problems.push(`${who}: came back with recovered=${start.recovered}`);
  }
  if (problems.length > 0)
    throw new Error(`${problems.length} problems:\n  ${problems.slice(0, 20).join('\n  ')}`);
}
