// Every operation of @huggingface/hub that this hub offers, one after another; prints a line for each that fails.
// Arguments: the folder of the package, the address of the hub, a token, an empty folder.
const [source, hubUrl, accessToken, folder] = process.argv.slice(2);
const hub = await import(`${source}/dist/index.mjs`);
const client = { hubUrl, accessToken };
const repo = "acme/js";
const dataset = { type: "dataset", name: "acme/js-data" };
const space = { type: "space", name: "acme/js-space" };
const here = { ...client, repo };
let passed = 0;

async function attempt(name, action) {
	try {
		await action();
		passed += 1;
	} catch (error) {
		console.log(`FAILED ${name}: ${error.message}`);
	}
}

function equal(found, expected) {
	if (JSON.stringify(found) !== JSON.stringify(expected)) {
		throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(expected)}`);
	}
}

async function all(items) {
	const found = [];
	for await (const item of items) found.push(item);
	return found;
}

async function content(path, options = {}, start = 0, end = undefined) {
	const blob = await hub.downloadFile({ ...here, path, ...options });
	return Buffer.from(await blob.slice(start, end ?? blob.size).arrayBuffer());
}

const noise = Buffer.alloc(3_000_000);
for (let place = 0, state = 1; place < noise.length; place++) {
	state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
	noise[place] = state >>> 24;
}
const put = (path, data) => ({ operation: "addOrUpdate", path, content: new Blob([data]) });
const paths = async (options) => (await all(hub.listFiles({ ...here, ...options }))).map((file) => file.path);

await attempt("whoAmI", async () => equal((await hub.whoAmI(client)).type, "user"));
await attempt("createRepo", () =>
	hub.createRepo({ ...here, license: "mit", files: [{ path: "first.txt", content: new Blob(["first"]) }] }),
);
await attempt("its files", async () => equal((await content("first.txt")).toString(), "first"));
await attempt("its license", async () => {
	const info = await hub.modelInfo({ ...client, name: repo, additionalFields: ["cardData", "sha", "siblings"] });
	equal(info.cardData.license, "mit");
});
await attempt("createRepo of a dataset", () => hub.createRepo({ ...client, repo: dataset }));
await attempt("createRepo of a space", () => hub.createRepo({ ...client, repo: space, sdk: "static" }));
await attempt("repoExists", async () => equal(await hub.repoExists(here), true));
await attempt("repoExists, absent", async () => equal(await hub.repoExists({ ...client, repo: "acme/no" }), false));
await attempt("checkRepoAccess", () => hub.checkRepoAccess(here));
await attempt("uploadFile", () => hub.uploadFile({ ...here, file: { path: "a.txt", content: new Blob(["hello"]) } }));
await attempt("uploadFile by Xet", () => hub.uploadFile({ ...here, file: { path: "xet.bin", content: new Blob([noise]) } }));
await attempt("uploadFile by LFS", () =>
	hub.uploadFile({ ...here, useXet: false, file: { path: "lfs.bin", content: new Blob([noise.subarray(7)]) } }),
);
await attempt("uploadFiles", () =>
	hub.uploadFiles({
		...here,
		files: ["b.txt", "c.bin"].map((name) => ({ path: `d/${name}`, content: new Blob([noise.subarray(0, 70_000)]) })),
	}),
);
await attempt("uploadFilesWithProgress", () =>
	all(hub.uploadFilesWithProgress({ ...here, files: [{ path: "p.bin", content: new Blob([noise.subarray(100)]) }] })),
);
await attempt("commit to a pull request", async () => {
	const made = await hub.commit({ ...here, title: "pull", isPullRequest: true, operations: [put("pull.bin", noise.subarray(50))] });
	equal(made.pullRequestUrl, `${hubUrl}/${repo}/discussions/1`);
});
await attempt("commit on a parent", async () => {
	const [{ oid }] = await all(hub.listCommits({ ...here, batchSize: 1 }));
	await hub.commit({ ...here, title: "parent", parentCommit: oid, operations: [put("gone.txt", "gone")] });
});
await attempt("commit that deletes", () =>
	hub.commit({ ...here, title: "delete", operations: [{ operation: "delete", path: "gone.txt" }] }),
);
await attempt("commitIter", async () => {
	const events = await all(hub.commitIter({ ...here, title: "iter", operations: [put("iter.bin", noise.subarray(90))] }));
	equal(events.some(({ event }) => event === "phase"), true);
});
await attempt("fileExists", async () => equal(await hub.fileExists({ ...here, path: "a.txt" }), true));
await attempt("fileExists, absent", async () => equal(await hub.fileExists({ ...here, path: "gone.txt" }), false));
await attempt("fileDownloadInfo", async () => equal((await hub.fileDownloadInfo({ ...here, path: "a.txt" })).size, 5));
await attempt("fileDownloadInfo of Xet", async () => {
	const info = await hub.fileDownloadInfo({ ...here, path: "xet.bin" });
	equal([info.size, info.xet.hash.length], [noise.length, 64]);
});
await attempt("fileDownloadInfo of a pointer", async () =>
	equal((await hub.fileDownloadInfo({ ...here, path: "xet.bin", raw: true })).size, 132),
);
for (const [path, options, start] of [
	["xet.bin", {}, 0],
	["xet.bin", { xet: false }, 0],
	["lfs.bin", {}, 7],
]) {
	await attempt(`downloadFile ${path} ${JSON.stringify(options)}`, async () =>
		equal(noise.subarray(start).equals(await content(path, options)), true),
	);
	await attempt(`slice of ${path} ${JSON.stringify(options)}`, async () =>
		equal(noise.subarray(start + 99_999, start + 1_500_000).equals(await content(path, options, 99_999, 1_500_000)), true),
	);
}
await attempt("downloadFile of a pointer", async () =>
	equal((await content("xet.bin", { raw: true })).toString().slice(0, 7), "version"),
);
await attempt("commit that edits", async () => {
	const originalContent = await hub.downloadFile({ ...here, path: "xet.bin" });
	const edits = [{ start: 1000, end: 1010, content: new Blob(["0123456789"]) }];
	await hub.commit({ ...here, title: "edit", operations: [{ operation: "edit", path: "xet.bin", originalContent, edits }] });
	equal((await content("xet.bin", {}, 1000, 1010)).toString(), "0123456789");
});
await attempt("listFiles", async () => equal((await paths({ recursive: true, expand: true })).includes("d/c.bin"), true));
await attempt("pathsInfo", async () => equal((await hub.pathsInfo({ ...here, paths: ["a.txt", "d"], expand: true })).length, 2));
await attempt("countCommits", async () => equal(await hub.countCommits(here), (await all(hub.listCommits(here))).length));
await attempt("createBranch", () => hub.createBranch({ ...here, branch: "dev" }));
await attempt("createBranch over it", () => hub.createBranch({ ...here, branch: "dev", overwrite: true }));
await attempt("createBranch, empty", async () => {
	await hub.createBranch({ ...here, branch: "void", empty: true });
	equal(await paths({ revision: "void" }), []);
});
await attempt("deleteBranch", () => hub.deleteBranch({ ...here, branch: "dev" }));
await attempt("datasetInfo", async () => equal((await hub.datasetInfo({ ...client, name: dataset.name })).name, dataset.name));
await attempt("spaceInfo", async () => equal((await hub.spaceInfo({ ...client, name: space.name })).name, space.name));
for (const sort of ["downloads", "likes", "trendingScore", "lastModified", "createdAt"]) {
	await attempt(`listModels by ${sort}`, async () =>
		equal((await all(hub.listModels({ ...client, search: { owner: "acme" }, sort, additionalFields: ["tags"] }))).length, 1),
	);
}
await attempt("listDatasets", async () => equal((await all(hub.listDatasets({ ...client, search: { owner: "acme" } }))).length, 1));
await attempt("listSpaces", async () => equal((await all(hub.listSpaces({ ...client, search: { owner: "acme" } }))).length, 1));
await attempt("snapshotDownload", () => hub.snapshotDownload({ ...here, cacheDir: `${folder}/snapshot` }));
await attempt("downloadFileToCacheDir", () => hub.downloadFileToCacheDir({ ...here, path: "lfs.bin", cacheDir: `${folder}/file` }));
await attempt("deleteFile", () => hub.deleteFile({ ...here, path: "a.txt" }));
await attempt("deleteFiles", () => hub.deleteFiles({ ...here, paths: ["d/b.txt", "p.bin"] }));
await attempt("parseSafetensorsMetadata", async () => {
	const header = Buffer.from(JSON.stringify({ w: { dtype: "F32", shape: [2], data_offsets: [0, 8] } }));
	const length = Buffer.alloc(8);
	length.writeBigUInt64LE(BigInt(header.length));
	const data = Buffer.concat([length, header, Buffer.alloc(8)]);
	await hub.uploadFile({ ...here, file: { path: "model.safetensors", content: new Blob([data]) } });
	equal((await hub.parseSafetensorsMetadata({ ...here, computeParametersCount: true })).parameterCount, { F32: 2 });
});
const asked = { ...client, namespace: "acme" };
const order = { ...asked, dockerImage: "python:3.12", flavor: "cpu-basic" };
await attempt("listJobHardware", async () => equal((await hub.listJobHardware(client)).map((machine) => machine.name), ["cpu-basic"]));
await attempt("runJob, getJob, streamJobLogs, listJobs", async () => {
	const job = await hub.runJob({ ...order, command: ["sh", "-c", "echo $A; sleep 0.5; echo b"], environment: { A: "a" } });
	const lines = await all(hub.streamJobLogs({ ...asked, jobId: job.id }));
	equal(lines.map((line) => line.message), ["a", "b"]);
	equal((await hub.getJob({ ...asked, jobId: job.id })).status.stage, "COMPLETED");
	equal((await hub.listJobs(asked)).map((each) => each.id), [job.id]);
});
await attempt("cancelJob", async () => {
	const job = await hub.runJob({ ...order, command: ["sleep", "60"] });
	await hub.cancelJob({ ...asked, jobId: job.id });
	equal((await hub.getJob({ ...asked, jobId: job.id })).status.stage, "CANCELED");
});
await attempt("collections are not offered", async () => {
	const refusal = await all(hub.listCollections({ ...client, search: { owner: ["acme"] } })).catch((error) => error);
	equal([refusal.statusCode, refusal.message.split(".")[0]], [501, "This hub does not offer collections"]);
});
await attempt("buckets, to which alone files are copied, are not offered", async () => {
	const source = { repo, path: "first.txt" };
	const destination = { repo: { type: "bucket", name: "acme/bucket" }, path: "first.txt" };
	const refusal = await hub.copyFile({ ...client, source, destination }).catch((error) => error);
	equal(refusal.statusCode, 501);
});
for (const gone of [repo, dataset, space]) await attempt("deleteRepo", () => hub.deleteRepo({ ...client, repo: gone }));
console.log(`${passed} passed`);
