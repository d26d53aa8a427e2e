DROP INDEX "releases_host_toplevel";--> statement-breakpoint
CREATE INDEX "releases_of_system" ON "releases" USING btree ("host","toplevel","sequence");