// Verifies the DKIM signatures of one message with mailauth.
// stdin: {"message": base64, "records": {name: TXT value}}; stdout: [{domain, result, comment}]
const { dkimVerify } = require('mailauth/lib/dkim/verify');

async function main() {
    let input = '';
    for await (const chunk of process.stdin) {
        input += chunk;
    }
    const { message, records } = JSON.parse(input);
    const resolver = async (name, type) => {
        const value = records[name.replace(/\.$/, '')];
        if (type !== 'TXT' || value === undefined) {
            throw Object.assign(new Error(`no ${type} record at ${name}`), { code: 'ENOTFOUND' });
        }
        return [[value]];
    };
    const { results } = await dkimVerify(Buffer.from(message, 'base64'), { resolver });
    const shown = results.map(one => ({
        domain: one.signingDomain,
        result: one.status.result,
        comment: one.status.comment || ''
    }));
    process.stdout.write(JSON.stringify(shown));
}

main().catch(error => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
});
