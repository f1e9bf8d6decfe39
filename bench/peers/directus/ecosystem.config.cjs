// Two processes of Directus on one port, by pm2-runtime as in Directus' own image.
module.exports = {
  apps: [{ name: "directus", cwd: __dirname, script: "node_modules/directus/cli.js", args: ["start"], exec_mode: "cluster", instances: 2 }],
};
