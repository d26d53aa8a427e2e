CREATE TABLE "trials" (
	"host" text PRIMARY KEY NOT NULL,
	"id" text NOT NULL,
	"sequence" bigint NOT NULL,
	"toplevel" text NOT NULL,
	"commit" text NOT NULL,
	"envelope" text NOT NULL,
	"by" text NOT NULL,
	"reason" text NOT NULL,
	"at" bigint NOT NULL,
	"ends_at" bigint NOT NULL,
	"epoch" bigint NOT NULL,
	"ended_at" bigint,
	"result" text
);
--> statement-breakpoint
ALTER TABLE "trials" ADD CONSTRAINT "trials_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE cascade ON UPDATE no action;