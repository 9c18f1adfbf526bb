// Every operation of @huggingface/hub that this hub offers, one after another; prints a line for each that fails.
// Arguments: the folder of the package, the address of the hub, a token, an empty folder.
const [source, hubUrl, accessToken, folder] = process.argv.slice(2);
const used = new Set();
const hub = new Proxy(await import(`${source}/dist/index.mjs`), {
	get: (module, name) => used.add(name) && module[name],
});
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
await attempt("createCollection", async () => {
	const collection = { title: "By JavaScript", namespace: "acme", description: "About it", private: false };
	const { slug } = await hub.createCollection({ ...client, collection });
	const [found] = await all(hub.listCollections({ ...client, search: { owner: ["acme"], q: "javascript" }, sort: "lastModified" }));
	equal([found.slug, found.description, found.items], [slug, "About it", []]);
	await hub.deleteCollection({ ...client, slug });
});
await attempt("listCollections, of none", async () => equal(await all(hub.listCollections({ ...client, search: { owner: ["acme"] } })), []));

const bucket = { type: "bucket", name: "acme/js-bucket" };
const inBucket = { ...client, repo: bucket };
const ofBucket = async (options) => (await all(hub.listFiles({ ...inBucket, ...options }))).map((file) => file.path);
const inside = async (path, options) => content(path, { repo: bucket, ...options });
await attempt("createRepo of a bucket", () => hub.createRepo(inBucket));
await attempt("checkRepoAccess of a bucket", () => hub.checkRepoAccess(inBucket));
await attempt("repoExists of a bucket", async () => equal(await hub.repoExists(inBucket), true));
await attempt("uploadFile to a bucket", () => hub.uploadFile({ ...inBucket, file: { path: "big.bin", content: new Blob([noise]) } }));
await attempt("uploadFiles to a bucket", () =>
	hub.uploadFiles({ ...inBucket, files: ["b", "c"].map((name) => ({ path: `d/${name}.txt`, content: new Blob([name]) })) }),
);
await attempt("commit to a bucket", () => hub.commit({ ...inBucket, title: "", operations: [put("e.txt", "e"), put("gone.txt", "gone")] }));
await attempt("commitIterBucket", () => all(hub.commitIterBucket({ ...inBucket, title: "", operations: [put("f.txt", "f")] })));
await attempt("commit that edits in a bucket", async () => {
	const originalContent = await hub.downloadFile({ ...inBucket, path: "big.bin" });
	const edits = [{ start: 1000, end: 1010, content: new Blob(["0123456789"]) }];
	await hub.commit({ ...inBucket, title: "", operations: [{ operation: "edit", path: "big.bin", originalContent, edits }] });
	const edited = await inside("big.bin");
	equal([edited.length, edited.subarray(999, 1011).equals(Buffer.concat([noise.subarray(999, 1000), Buffer.from("0123456789"), noise.subarray(1010, 1011)]))], [noise.length, true]);
});
await attempt("deleteFile of a bucket", () => hub.deleteFile({ ...inBucket, path: "gone.txt" }));
await attempt("listFiles of a bucket", async () => equal(await ofBucket({}), ["big.bin", "d", "e.txt", "f.txt"]));
await attempt("listFiles of a bucket, below a folder", async () => equal(await ofBucket({ path: "d", recursive: true }), ["d/b.txt", "d/c.txt"]));
await attempt("pathsInfo of a bucket", async () => equal((await hub.pathsInfo({ ...inBucket, paths: ["e.txt", "absent"] })).length, 1));
await attempt("fileExists in a bucket", async () =>
	equal([await hub.fileExists({ ...inBucket, path: "e.txt" }), await hub.fileExists({ ...inBucket, path: "absent" })], [true, false]),
);
await attempt("fileDownloadInfo of a bucket", async () => {
	const info = await hub.fileDownloadInfo({ ...inBucket, path: "big.bin" });
	equal([info.size, info.xet.hash.length], [noise.length, 64]);
});
await attempt("downloadFile of a bucket", async () => equal((await inside("e.txt", { xet: false })).toString(), "e"));
const copies = [];
for (const [name, path] of [["copyFile", "first.txt"], ["copyFileIter", "c.bin"]]) {
	await attempt(name, async () => {
		const source = { repo, path: path === "c.bin" ? "d/c.bin" : path };
		const made = hub[name]({ ...client, source, destination: { repo: bucket, path: `copies/${path}` } });
		await (name.endsWith("Iter") ? all(made) : made);
		copies.push(`copies/${path}`);
	});
}
for (const name of ["copyFiles", "copyFilesIter"]) {
	await attempt(name, async () => {
		const files = [
			{ source: { repo, path: "xet.bin" }, destinationPath: `copies/${name}.bin` },
			{ source: { repo: bucket, path: "e.txt" }, destinationPath: `copies/${name}.txt` },
		];
		const made = hub[name]({ ...client, destination: bucket, files });
		await (name.endsWith("Iter") ? all(made) : made);
		copies.push(...files.map((file) => file.destinationPath));
	});
}
for (const name of ["copyFolder", "copyFolderIter"]) {
	await attempt(name, async () => {
		const made = hub[name]({ ...client, source: { repo: bucket, path: "d" }, destination: { repo: bucket, path: `copies/${name}` } });
		await (name.endsWith("Iter") ? all(made) : made);
		copies.push(`copies/${name}/b.txt`, `copies/${name}/c.txt`);
	});
}
await attempt("what was copied", async () => {
	equal(await ofBucket({ path: "copies/", recursive: true }), copies.sort());
	equal((await inside("copies/first.txt", { xet: false })).toString(), "first");
	equal((await inside("copies/copyFiles.bin")).equals(await content("xet.bin")), true);
});
for (const gone of [repo, dataset, space, bucket]) await attempt("deleteRepo", () => hub.deleteRepo({ ...client, repo: gone }));
// What sends nothing to the hub, or is for signing in and for jobs.
const others =
	/Error$|^__|^[A-Z]|[sS]afetensors[A-Z].*Filename|ShardFilename|^(oauth|scan|is|matches|getBlob|getHF|getQ|getRepoF|glob|parse(Repo|Total)|compute|relative|stream|validate|parseSafetensorsShard)|Job/;
const offered = Object.keys(await import(`${source}/dist/index.mjs`)).filter((name) => !others.test(name));
for (const name of offered.filter((name) => !used.has(name))) console.log(`NOT CALLED ${name}`);
console.log(`${passed} passed, of ${offered.length} functions`);
