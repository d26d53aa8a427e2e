CREATE TABLE "deploys" (
	"host" text PRIMARY KEY NOT NULL,
	"epoch" bigint NOT NULL,
	"level" text NOT NULL,
	"reason" text NOT NULL,
	"by" text NOT NULL,
	"created_at" bigint NOT NULL,
	"expires_at" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "deploys" ADD CONSTRAINT "deploys_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE cascade ON UPDATE no action;